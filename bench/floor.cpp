#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The kernel's floor of an exit: a child that is init of five new namespaces is killed
// through its pidfd, and this, its only parent, polls the pidfd and takes the status.
// A line on stdin asks for one sample; the answer is a line with its nanoseconds. A
// process of its own, so that what is measured does not carry the client's memory.

namespace {

int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

int64_t sample() {
  int pidfd = -1;
  clone_args how{};
  how.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;
  how.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  how.exit_signal = SIGCHLD;
  const auto pid = ::syscall(SYS_clone3, &how, sizeof(how));
  if (pid < 0)
    return -errno;
  if (pid == 0) {
    for (;;)
      ::pause();
  }
  ::poll(nullptr, 0, 5); // until the child sleeps
  const auto began = now_ns();
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  pollfd p{pidfd, POLLIN, 0};
  ::poll(&p, 1, -1);
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED);
  const auto took = now_ns() - began;
  ::close(pidfd);
  return took;
}

} // namespace

int main() {
  char line[16];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    std::printf("%lld\n", static_cast<long long>(sample()));
    std::fflush(stdout);
  }
  return 0;
}
