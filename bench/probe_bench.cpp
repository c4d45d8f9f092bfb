// What a probe over the network costs: so many at a time against servers in a process of their
// own on loopback, everything that gantryd does for one but its actor and its record.
//
//   probe_bench [SECONDS] [AT_A_TIME]

#include <arpa/inet.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "io/linux_kernel.hpp"
#include "runtime/probe_call.hpp"

using namespace gantry;

namespace {

constexpr size_t servers = 16; ///< So that no server's port runs out of peers.
constexpr char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct listening {
  int fd = -1;
  uint32_t port = 0;
};

listening listen_somewhere() {
  listening out;
  out.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  GANTRY_CHECK(::bind(out.fd, reinterpret_cast<sockaddr*>(&at), size) == 0);
  GANTRY_CHECK(::listen(out.fd, 4096) == 0);
  GANTRY_CHECK(::getsockname(out.fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  out.port = ntohs(at.sin_port);
  return out;
}

/// Answers everybody, until it is killed.
[[noreturn]] void serve(const std::vector<listening>& on) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int waits = ::epoll_create1(EPOLL_CLOEXEC);
  auto watch = [waits](int fd, uint64_t what) {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.u64 = what;
    ::epoll_ctl(waits, EPOLL_CTL_ADD, fd, &e);
  };
  constexpr uint64_t peer = 1ull << 32;
  for (const auto& l : on)
    watch(l.fd, uint64_t(l.fd));
  for (;;) {
    epoll_event events[256];
    const int n = ::epoll_wait(waits, events, 256, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = int(events[i].data.u64 & 0xffffffff);
      if ((events[i].data.u64 & peer) == 0) {
        for (int c = -1; (c = ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;)
          watch(c, uint64_t(c) | peer);
        continue;
      }
      char bytes[4096];
      if (::recv(fd, bytes, sizeof(bytes), 0) > 0)
        [[maybe_unused]] auto sent = ::send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
      ::close(fd);
    }
  }
}

double cpu_seconds() {
  rusage r{};
  ::getrusage(RUSAGE_SELF, &r);
  auto seconds = [](timeval t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
  return seconds(r.ru_utime) + seconds(r.ru_stime);
}

/// So many probes at a time, each followed by the next one.
class asker {
public:
  asker(io::loop& l, int pidfd, const std::vector<listening>& whom, runtime::probe_kind kind)
    : loop_(l), pidfd_(pidfd), whom_(whom) {
    what_.timeout_ns = 5'000'000'000;
    what_.question.kind = kind;
    what_.question.path = "/health";
  }

  void begin(size_t lane) {
    what_.question.port = whom_[next_++ % whom_.size()].port;
    if (calls_.size() <= lane)
      calls_.resize(lane + 1);
    calls_[lane] = std::make_unique<runtime::probe_call>(
      loop_, paths_, what_, 4096, runtime::probe_target{::getpid(), 0, pidfd_},
      [this, lane](result<runtime::probe_result> r) {
        ++done;
        failed += r.ok() && r->what == runtime::probe_result::label::passed ? 0 : 1;
        if (!over)
          loop_.post([this, lane] { begin(lane); });
      });
  }

  size_t done = 0;
  size_t failed = 0;
  bool over = false;

private:
  io::loop& loop_;
  int pidfd_;
  const std::vector<listening>& whom_;
  std::shared_ptr<runtime::permits> paths_
    = std::make_shared<runtime::permits>(runtime::max_path_probes);
  runtime::probe what_;
  size_t next_ = 0;
  std::vector<std::unique_ptr<runtime::probe_call>> calls_;
};

void measure(io::loop& l, int pidfd, const std::vector<listening>& whom, runtime::probe_kind kind,
             std::chrono::seconds span, size_t at_a_time) {
  asker a(l, pidfd, whom, kind);
  const auto began = l.sys().monotonic();
  const auto cpu = cpu_seconds();
  for (size_t i = 0; i < at_a_time; ++i)
    a.begin(i);
  while (l.sys().monotonic() - began < span)
    l.turn(true);
  const auto n = double(a.done);
  const auto took = std::chrono::duration<double>(l.sys().monotonic() - began).count();
  const auto used = cpu_seconds() - cpu;
  a.over = true;
  l.drain(std::chrono::seconds(6));
  std::printf("%-4s %.0f probes in %.1f s: %.0f a second, %.1f us of CPU each (%.0f a second on "
              "a whole core); %zu failed\n",
              std::string{runtime::name_of(kind)}.c_str(), n, took, n / took, used / n * 1e6,
              n / used, a.failed);
}

} // namespace

int main(int argc, char** argv) {
  const auto span = std::chrono::seconds(argc > 1 ? std::atoi(argv[1]) : 5);
  const auto at_a_time = size_t(argc > 2 ? std::atoi(argv[2]) : 64);
  std::vector<listening> whom(servers);
  for (auto& l : whom)
    l = listen_somewhere();
  const pid_t server = ::fork();
  if (server == 0)
    serve(whom);
  auto kernel = io::linux_kernel::make();
  if (!kernel) {
    std::fprintf(stderr, "%s\n", kernel.why().text().c_str());
    return 1;
  }
  {
    io::loop l(**kernel);
    const io::fd pidfd(**kernel, (*kernel)->pidfd_open(::getpid()));
    for (const auto kind : {runtime::probe_kind::http, runtime::probe_kind::tcp})
      measure(l, pidfd.get(), whom, kind, span, at_a_time);
  }
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  return 0;
}
