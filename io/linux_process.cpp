#include <cerrno>
#include <charconv>
#include <csignal>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "io/linux_spawn.hpp"

// The calls of the real kernel that concern processes; `spawn` itself is in linux_spawn.cpp.

namespace gantry::io {

namespace {

#ifndef P_PIDFD
constexpr auto pidfd_idtype = idtype_t(3);
#else
constexpr auto pidfd_idtype = idtype_t(P_PIDFD);
#endif

/// struct pidfd_info of <linux/pidfd.h> as Linux 6.13 has it (Debian's headers are older).
struct pidfd_info_v0 {
  uint64_t mask;
  uint64_t cgroupid;
  uint32_t pid, tgid, ppid;
  uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code; ///< Raw wait status; valid with `info_exit` in the mask (6.15).
};
static_assert(sizeof(pidfd_info_v0) == 64);

constexpr uint64_t info_exit = 1u << 3;
constexpr unsigned long get_info = _IOWR(0xFF, 11, pidfd_info_v0);
constexpr kernel_version knows_exit{6, 15};

exit_status from_siginfo(const siginfo_t& si) noexcept {
  exit_status out;
  out.known = true;
  if (si.si_code == CLD_EXITED) {
    out.code = si.si_status;
  } else {
    out.signal = si.si_status;
    out.core = si.si_code == CLD_DUMPED;
  }
  return out;
}

} // namespace

exit_status exit_status::from_wait(int status) noexcept {
  exit_status out;
  out.known = true;
  if (WIFEXITED(status)) {
    out.code = WEXITSTATUS(status);
  } else {
    out.signal = WTERMSIG(status);
    out.core = WCOREDUMP(status);
  }
  return out;
}

void linux_kernel::limit_children(const rlimit& files) { spawner_->limit_files(files); }

int linux_kernel::spawn(const spawn_request& what, child& out) {
  return spawner_->spawn(what, out);
}

int linux_kernel::reap(int pidfd, exit_status& out) {
  siginfo_t si{};
  rusage used{}; // Only the system call itself gives it; glibc's waitid leaves it out.
  if (::syscall(SYS_waitid, pidfd_idtype, pidfd, &si, WEXITED | WNOHANG, &used) < 0) {
    GANTRY_CHECK(errno == ECHILD || errno == EINTR);
    return errno == EINTR ? -EAGAIN : -ECHILD;
  }
  if (si.si_pid == 0)
    return -EAGAIN;
  out = from_siginfo(si);
  out.max_rss_bytes = uint64_t(used.ru_maxrss) * 1024;
  return 0;
}

int linux_kernel::pidfd_open(pid_t pid) {
  auto res = ::syscall(SYS_pidfd_open, pid, 0);
  return res < 0 ? -errno : int(res);
}

int linux_kernel::pidfd_signal(int pidfd, int sig) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, sig, nullptr, 0) < 0 ? -errno : 0;
}

int linux_kernel::pidfd_status(int pidfd, exit_status& out) {
  if (version_ < knows_exit)
    return -ENOTTY;
  pidfd_info_v0 info{};
  info.mask = info_exit;
  if (::ioctl(pidfd, get_info, &info) < 0) {
    GANTRY_CHECK(errno != EBADF && errno != EFAULT);
    // ESRCH: reaped before anybody held a pidfd that could keep the status.
    return errno == EINVAL || errno == ESRCH ? -ENOTTY : -errno;
  }
  if ((info.mask & info_exit) == 0)
    return -EAGAIN;
  out = exit_status::from_wait(info.exit_code);
  return 0;
}

int64_t linux_kernel::start_ticks(pid_t pid) {
  std::string text;
  int res = read_small("/proc/" + std::to_string(pid) + "/stat", text, 4096);
  if (res < 0)
    return res == -ENOENT ? -ESRCH : res;
  // The name in field 2 may hold blanks and parentheses: count from the last one.
  auto at = text.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field)
    at = text.find(' ', at + 1);
  if (at == std::string::npos)
    return -ESRCH;
  int64_t ticks = 0;
  auto parsed = std::from_chars(text.data() + at + 1, text.data() + text.size(), ticks);
  return parsed.ec == std::errc{} ? ticks : -ESRCH;
}

} // namespace gantry::io
