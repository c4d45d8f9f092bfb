#include "runtime/seccomp.hpp"

#include <array>
#include <string_view>

// What a container may ask of the kernel where its config is ours. Allowed is what ordinary
// programs need and what acts on their own processes, files and sockets only (or is checked
// against a capability that the container has by default). Left out, and so EPERM:
//   other namespaces   mount and its new family, umount2, pivot_root, setns, unshare
//   kernel code        bpf, init_module and its kin, kexec, userfaultfd, perf_event_open
//   keyrings           add_key, keyctl, request_key: they are not namespaced
//   io_uring           its requests pass the filter by
//   the machine        reboot, swapon, clock setting, iopl, quotactl, acct, syslog
//   handles            open_by_handle_at walks out of the root
//   old calls          modify_ldt, uselib, sysfs, _sysctl, lookup_dcookie, vm86
//   NUMA placement     mbind, move_pages, migrate_pages, set_mempolicy
// One architecture only: the filter for each further one costs the runtime 8 ms more at each
// create (measured with runc 1.1.5: none 0, native +3 ms, native with i386 and x32 +18 ms), and
// 32-bit entry points widen the attack surface. Who runs 32-bit programs brings a bundle.

namespace gantry::runtime {

namespace {

using nlohmann::json;

constexpr auto files = std::to_array<std::string_view>({
  "access", "chdir", "chmod", "chown", "chroot", "close", "close_range", "copy_file_range",
  "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate",
  "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync",
  "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
  "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "ioctl", "lchown",
  "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek",
  "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "name_to_handle_at",
  "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64",
  "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr",
  "rename", "renameat", "renameat2", "rmdir", "setxattr", "stat", "statfs", "statx", "symlink",
  "symlinkat", "sync", "sync_file_range", "syncfs", "truncate", "umask", "unlink", "unlinkat",
  "utime", "utimensat", "utimes", "write", "writev"});

constexpr auto streams = std::to_array<std::string_view>({
  "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
  "eventfd", "eventfd2", "inotify_add_watch", "inotify_init", "inotify_init1",
  "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup",
  "io_submit", "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "sendfile", "signalfd",
  "signalfd4", "splice", "tee", "timerfd_create", "timerfd_gettime", "timerfd_settime",
  "vmsplice"});

constexpr auto sockets = std::to_array<std::string_view>({
  "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
  "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
  "socketpair"});

constexpr auto ipc = std::to_array<std::string_view>({
  "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink",
  "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat",
  "shmctl", "shmdt", "shmget"});

constexpr auto memory = std::to_array<std::string_view>({
  "brk", "get_mempolicy", "madvise", "membarrier", "memfd_create", "memfd_secret", "mincore",
  "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync", "munlock", "munlockall",
  "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "process_madvise", "process_mrelease",
  "remap_file_pages"});

constexpr auto processes = std::to_array<std::string_view>({
  "alarm", "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group",
  "fork", "futex", "futex_waitv", "get_robust_list", "get_thread_area", "getcpu", "getpgid",
  "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getrlimit", "getrusage",
  "getsid", "gettid", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule",
  "landlock_create_ruleset", "landlock_restrict_self", "pause", "pidfd_getfd", "pidfd_open",
  "pidfd_send_signal", "prctl", "prlimit64", "process_vm_readv", "process_vm_writev", "ptrace",
  "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
  "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
  "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
  "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity",
  "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp",
  "set_robust_list", "set_thread_area", "set_tid_address", "setpgid", "setpriority",
  "setrlimit", "setsid", "sigaltstack", "sysinfo", "tgkill", "times", "tkill", "uname",
  "vfork", "wait4", "waitid"});

constexpr auto identities = std::to_array<std::string_view>({
  "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid", "setfsgid",
  "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid",
  "setuid"});

constexpr auto clocks = std::to_array<std::string_view>({
  "adjtimex", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday",
  "nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun",
  "timer_gettime", "timer_settime"});

/// All CLONE_NEW* flags.
constexpr uint64_t new_namespaces = 0x7e020000;
/// socket(2) families below it; AF_ALG (38) reaches the kernel's crypto, AF_VSOCK (40) the
/// hypervisor.
constexpr uint64_t first_refused_family = 38;
constexpr int err_nosys = 38;

template <size_t N>
void add_names(json& names, const std::array<std::string_view, N>& group) {
  for (auto name : group)
    names.emplace_back(name);
}

json rule_with(std::string_view name, json args) {
  return {{"names", json::array({name})}, {"action", "SCMP_ACT_ALLOW"}, {"args", std::move(args)}};
}

json personality_rule(uint64_t persona) {
  return rule_with("personality",
                   json::array({{{"index", 0}, {"value", persona}, {"op", "SCMP_CMP_EQ"}}}));
}

json make_seccomp() {
  json names = json::array();
  add_names(names, files);
  add_names(names, streams);
  add_names(names, sockets);
  add_names(names, ipc);
  add_names(names, memory);
  add_names(names, processes);
  add_names(names, identities);
  add_names(names, clocks);

  json rules = json::array();
  rules.push_back({{"names", std::move(names)}, {"action", "SCMP_ACT_ALLOW"}});
  rules.push_back(rule_with("clone", json::array({{{"index", 0},
                                                   {"value", new_namespaces},
                                                   {"valueTwo", 0},
                                                   {"op", "SCMP_CMP_MASKED_EQ"}}})));
  // Its flags lie in memory, where no filter can look: ENOSYS makes libc fall back to clone.
  rules.push_back({{"names", json::array({"clone3"})},
                   {"action", "SCMP_ACT_ERRNO"},
                   {"errnoRet", err_nosys}});
  rules.push_back(rule_with("socket", json::array({{{"index", 0},
                                                    {"value", first_refused_family},
                                                    {"op", "SCMP_CMP_LT"}}})));
  // Linux, Linux with 26-bit addresses, both without UNAME26 and with it, and the question.
  for (uint64_t persona : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull})
    rules.push_back(personality_rule(persona));

  json out{{"defaultAction", "SCMP_ACT_ERRNO"}, {"defaultErrnoRet", 1}};
#if defined(__x86_64__)
  out["architectures"] = json::array({"SCMP_ARCH_X86_64"});
#elif defined(__aarch64__)
  out["architectures"] = json::array({"SCMP_ARCH_AARCH64"});
#endif
  out["syscalls"] = std::move(rules);
  return out;
}

} // namespace

const nlohmann::json& default_seccomp() {
  static const json made = make_seccomp();
  return made;
}

} // namespace gantry::runtime
