// A supervisor inside a program, by the public interface: what bench_driver asks of gantryd over
// the bus is asked here of the library. Prints samples in nanoseconds as JSON.
//
//   bench_embedded DIRECTORY ROOTFS CGROUP_PARENT COUNT        (as root)

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <mutex>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <gantry/gantry.hpp>

namespace {

using namespace gantry;
using namespace std::chrono_literals;

int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench_embedded: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T got(std::future<result<T>> x) {
  auto answer = x.get();
  if (!answer)
    give_up(answer.why().text());
  if constexpr (!std::is_void_v<T>)
    return std::move(*answer);
}

/// When each event came into the program's hands.
class times {
public:
  result<void> see(const event& e) {
    const auto now = now_ns();
    std::lock_guard guard(mutex_);
    seen_[e.type + " " + e.ref.id + " " + e.process] = now;
    news_.notify_all();
    return {};
  }

  int64_t of(const std::string& what) {
    std::unique_lock lock(mutex_);
    if (!news_.wait_for(lock, 60s, [&] { return seen_.contains(what); }))
      give_up("waited in vain for: " + what);
    return seen_.at(what);
  }

private:
  std::mutex mutex_;
  std::condition_variable news_;
  std::map<std::string, int64_t> seen_;
};

using samples = std::vector<int64_t>;

create_request container(const std::string& id, const std::string& rootfs,
                         std::vector<std::string> args) {
  create_request r;
  r.ref = id;
  r.spec.rootfs = rootfs;
  r.spec.args = std::move(args);
  return r;
}

samples one_shots(supervisor& s, times& seen, const std::string& rootfs, int count) {
  samples out;
  for (int i = 0; i < count; ++i) {
    const auto id = "shot-" + std::to_string(i);
    auto r = container(id, rootfs, {"/bin/true"});
    r.spec.remove_on_exit = true;
    const auto began = now_ns();
    got(s.create(r));
    out.push_back(seen.of("delete " + id + " ") - began);
  }
  return out;
}

samples execs(supervisor& s, times& seen, const std::string& rootfs, int count) {
  samples out;
  got(s.create(container("host", rootfs, {"/bin/sleep", "100000"})));
  for (int i = 0; i < count; ++i) {
    exec_request e;
    e.ref = "host";
    e.process = "e" + std::to_string(i);
    e.spec.args = {"/bin/true"};
    const auto began = now_ns();
    got(s.exec(e));
    out.push_back(seen.of("exit host " + e.process) - began);
  }
  got(s.remove({.ref = "host", .force = true}));
  return out;
}

samples kills(supervisor& s, times& seen, const std::string& rootfs, int count) {
  samples out;
  for (int i = 0; i < count; ++i) {
    const auto id = "victim-" + std::to_string(i);
    const auto made = got(s.create(container(id, rootfs, {"/bin/sleep", "100000"})));
    const int pidfd = int(::syscall(SYS_pidfd_open, made.pid, 0));
    if (pidfd < 0)
      give_up("no pidfd of " + id);
    const auto began = now_ns();
    ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
    out.push_back(seen.of("exit " + id + " init") - began);
    ::close(pidfd);
    got(s.remove({.ref = id, .force = true}));
  }
  return out;
}

void print(const char* name, const samples& x, const char* end) {
  std::printf("\"%s\": [", name);
  for (size_t i = 0; i < x.size(); ++i)
    std::printf("%s%lld", i == 0 ? "" : ", ", static_cast<long long>(x[i]));
  std::printf("]%s", end);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 5)
    give_up("usage: bench_embedded DIRECTORY ROOTFS CGROUP_PARENT COUNT");
  const std::string dir = argv[1];
  const std::string rootfs = argv[2];
  const int count = std::atoi(argv[4]);
  start_options how;
  how.state_dir = dir + "/state";
  how.root_dir = dir + "/root";
  how.cgroup_parent = argv[3];
  auto made = supervisor::start(how);
  if (!made)
    give_up(made.why().text());
  auto& s = **made;
  times seen;
  auto sub = s.subscribe({}, [&seen](const event& e) { return seen.see(e); });
  std::printf("{");
  print("one_shot_ns", one_shots(s, seen, rootfs, count), ", ");
  print("exec_ns", execs(s, seen, rootfs, count), ", ");
  print("exit_ns", kills(s, seen, rootfs, count), "}\n");
  sub.stop();
  s.stop(true);
  return 0;
}
