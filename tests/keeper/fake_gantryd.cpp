// A gantryd that does what a test tells it. Usage:
//   fake_gantryd serve SOCKET                 connects, hands over its descriptors, obeys
//   fake_gantryd launch KEEPER CONTROL SOCKET the same, after io::become_supervised; with a
//                                             last word "apart" with a keeper apart
//   fake_gantryd count N self|timer           lives N lives, each killed right after a PUT

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/arena.hpp"
#include "io/keeper_socket.hpp"
#include "io/launch.hpp"

namespace {

using namespace gantry;
namespace wire = io::keeper_wire;
using wire::word;

constexpr int wrong = 65; // before READY: the keeper ends with it, and the test sees it

int connect_to(const char* path) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
  int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0)
    std::exit(wrong);
  return fd;
}

/// A process whose parent ends at once, so that it falls to the keeper; it ends as told, but
/// only after `gate` was closed.
[[noreturn]] void orphan(const std::string& how, int gate) {
  char byte;
  (void)!::read(gate, &byte, 1);
  if (how.starts_with("exit "))
    ::_exit(std::atoi(how.c_str() + 5));
  const rlimit core{0, 0};
  ::setrlimit(RLIMIT_CORE, &core);
  ::kill(::getpid(), std::atoi(how.c_str() + 7));
  ::_exit(99);
}

/// "exit N", "signal N" or "wait" (stays until killed); answers the pid.
pid_t make_orphan(const std::string& how) {
  int gate[2], answer[2];
  if (::pipe(gate) != 0 || ::pipe(answer) != 0)
    std::exit(wrong);
  pid_t middle = ::fork();
  if (middle == 0) {
    ::close(gate[1]);
    pid_t pid = ::fork();
    if (pid == 0) {
      ::close(answer[1]);
      while (how == "wait")
        ::pause();
      orphan(how, gate[0]);
    }
    (void)!::write(answer[1], &pid, sizeof(pid));
    ::_exit(0);
  }
  pid_t pid = -1;
  (void)!::read(answer[0], &pid, sizeof(pid));
  ::waitpid(middle, nullptr, 0);
  for (int fd : {gate[0], gate[1], answer[0], answer[1]})
    ::close(fd);
  return pid;
}

[[noreturn]] void serve(const char* path, const int (&fds)[3]) {
  int test = connect_to(path);
  wire::message hello{.what = word::started, .value = static_cast<uint32_t>(::getpid())};
  if (io::send_packet(test, hello, fds) != 0)
    std::exit(wrong);
  char text[256];
  while (true) {
    auto size = ::recv(test, text, sizeof(text), 0);
    if (size <= 0)
      std::exit(0);
    std::string what(text, static_cast<size_t>(size));
    if (what.starts_with("end "))
      ::_exit(std::atoi(what.c_str() + 4));
    int count = 1;
    if (what.starts_with("many ")) {
      count = std::atoi(what.c_str() + 5);
      what = "exit 3";
    }
    pid_t pid = -1;
    for (int i = 0; i < count; ++i)
      pid = make_orphan(what);
    ::send(test, &pid, sizeof(pid), 0);
  }
}

io::arena map_arena() {
  struct stat info{};
  ::fstat(wire::arena_fd, &info);
  auto size = static_cast<size_t>(info.st_size);
  auto* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, wire::arena_fd, 0);
  return io::arena::open({static_cast<std::byte*>(at), size});
}

/// What the keeper has under (9, 1), 0 for nothing; its descriptor must be a pipe's.
uint64_t kept_count() {
  if (io::send_packet(wire::socket_fd, {.what = word::list}, {}) != 0)
    ::_exit(wrong);
  uint64_t found = 0;
  while (true) {
    pollfd p{wire::socket_fd, POLLIN, 0};
    ::poll(&p, 1, 5000);
    auto packet = io::receive_packet(wire::socket_fd);
    if (packet.what.what == word::end)
      return found;
    struct stat info{};
    if (packet.what.what != word::entry || packet.count != 1
        || ::fstat(packet.fds[0], &info) != 0 || !S_ISFIFO(info.st_mode))
      ::_exit(wrong);
    std::memcpy(&found, packet.what.note, sizeof(found));
  }
}

void put(uint64_t count, int fd) {
  wire::message m{.what = word::put, .kind = 9, .serial = 1};
  std::memcpy(m.note, &count, sizeof(count));
  const int fds[] = {fd};
  while (io::send_packet(wire::socket_fd, m, fds) != 0) {
    pollfd p{wire::socket_fd, POLLOUT, 0};
    ::poll(&p, 1, 1000);
  }
}

[[noreturn]] void count(uint64_t lives, bool by_timer) {
  auto memory = map_arena();
  if (!memory)
    ::_exit(wrong);
  auto& said = memory.logs()[0].serial; // the last number whose PUT had returned
  auto& generation = memory.header().generation;
  const auto found = kept_count();
  const auto last = said.load();
  if (found != last && found != last + 1) {
    std::fprintf(stderr, "kept %lu, but said %lu\n", found, last);
    ::_exit(wrong);
  }
  if (generation.load() > lives) {
    io::send_packet(wire::socket_fd, {.what = word::farewell}, {});
    ::_exit(0);
  }
  int pipe[2];
  if (::pipe(pipe) != 0)
    ::_exit(wrong);
  if (!by_timer) {
    said.store(found + 1); // here the PUT itself must be the last deed
    put(found + 1, pipe[0]);
    ::kill(::getpid(), SIGKILL);
  }
  sigevent how{};
  how.sigev_notify = SIGEV_SIGNAL;
  how.sigev_signo = SIGKILL;
  timer_t timer;
  itimerspec when{};
  when.it_value.tv_nsec = 1000 + static_cast<long>(generation.load() * 7919 % 400'000);
  if (::timer_create(CLOCK_MONOTONIC, &how, &timer) != 0)
    ::_exit(wrong);
  said.store(found);
  ::timer_settime(timer, 0, &when, nullptr);
  for (auto n = found + 1;; ++n) {
    put(n, pipe[0]);
    said.store(n);
  }
}

} // namespace

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  if (how == "count" && argc == 4)
    count(std::strtoul(argv[2], nullptr, 10), std::string(argv[3]) == "timer");
  if (how == "serve" && argc == 3)
    serve(argv[2], {wire::socket_fd, wire::arena_fd, wire::news_fd});
  if (how == "launch" && (argc == 5 || argc == 6)) {
    io::launch_options options;
    options.program = argv[2];
    options.control = argv[3];
    options.apart = argc == 6;
    auto out = io::become_supervised(argc, argv, options);
    if (!out) {
      std::fprintf(stderr, "fake: %s\n", out.why().text().c_str());
      return 77;
    }
    if (out->what == io::launched::as::proxy)
      return out->exit_code;
    serve(argv[4], {out->fds.socket, out->fds.arena, out->fds.news});
  }
  return 64;
}
