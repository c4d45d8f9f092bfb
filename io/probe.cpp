#include "io/probe.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <liburing.h>
#include <sys/utsname.h>

namespace gantry::io {

namespace {

struct need {
  int opcode;
  const char* name;
  const char* since;
};

// What the ops of io/ send, with the version that brought it.
constexpr std::array needs{
  need{IORING_OP_POLL_ADD, "POLL_ADD", "5.1"},
  need{IORING_OP_FSYNC, "FSYNC", "5.1"},
  need{IORING_OP_TIMEOUT, "TIMEOUT", "5.4"},
  need{IORING_OP_ACCEPT, "ACCEPT", "5.5"},
  need{IORING_OP_CONNECT, "CONNECT", "5.5"},
  need{IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL", "5.5"},
  need{IORING_OP_FALLOCATE, "FALLOCATE", "5.6"},
  need{IORING_OP_CLOSE, "CLOSE", "5.6"},
  need{IORING_OP_READ, "READ", "5.6"},
  need{IORING_OP_WRITE, "WRITE", "5.6"},
  need{IORING_OP_SEND, "SEND", "5.6"},
  need{IORING_OP_RECV, "RECV", "5.6"},
  need{IORING_OP_STATX, "STATX", "5.6"},
  need{IORING_OP_OPENAT2, "OPENAT2", "5.6"},
  need{IORING_OP_RENAMEAT, "RENAMEAT", "5.11"},
  need{IORING_OP_UNLINKAT, "UNLINKAT", "5.11"},
  need{IORING_OP_MKDIRAT, "MKDIRAT", "5.15"},
};

constexpr unsigned needed_features = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                                     IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG;

std::string text_of(kernel_version v) {
  return std::to_string(v.major) + "." + std::to_string(v.minor);
}

error unsupported(std::string cause, std::string cure) {
  return {ec::unsupported, "cannot use io_uring: " + std::move(cause), std::move(cure)};
}

} // namespace

std::optional<kernel_version> parse_kernel_version(const std::string& release) noexcept {
  kernel_version out;
  const char* end = release.data() + release.size();
  auto major = std::from_chars(release.data(), end, out.major);
  if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.')
    return std::nullopt;
  auto minor = std::from_chars(major.ptr + 1, end, out.minor);
  if (minor.ec != std::errc{})
    return std::nullopt;
  return out;
}

kernel_version running_kernel() noexcept {
  utsname names{};
  if (::uname(&names) != 0)
    return {};
  return parse_kernel_version(names.release).value_or(kernel_version{});
}

error ring_refused(int err, kernel_version running, const std::string& disabled_sysctl) {
  auto needed = "gantry needs Linux " + text_of(oldest_kernel) + " or newer";
  if (running < oldest_kernel && running != kernel_version{})
    return unsupported("this kernel is " + text_of(running), needed);
  char disabled = disabled_sysctl.empty() ? '0' : disabled_sysctl.front();
  if (err == EPERM && disabled == '2')
    return unsupported("the sysctl kernel.io_uring_disabled is 2",
                       "set it to 0, or to 1 and run as root");
  if (err == EPERM && disabled == '1')
    return unsupported("the sysctl kernel.io_uring_disabled is 1 and this user is not in "
                       "kernel.io_uring_group",
                       "run as root, set kernel.io_uring_group, or set it to 0");
  if (err == EPERM || err == EACCES)
    return unsupported("a seccomp filter or a security module forbids it (" +
                         std::string(std::strerror(err)) + ")",
                       "allow io_uring_setup, io_uring_enter and io_uring_register in seccomp");
  if (err == ENOSYS)
    return unsupported("the kernel was built without it, or a seccomp filter hides it",
                       "allow io_uring_setup, io_uring_enter and io_uring_register in seccomp, "
                       "or use a kernel with CONFIG_IO_URING");
  if (err == EINVAL)
    return unsupported("the kernel does not know a flag that gantry sets", needed);
  if (err == ENOMEM)
    return {ec::resource_exhausted, "cannot make an io_uring: not enough memory",
            "free some memory, or raise RLIMIT_MEMLOCK"};
  return from_errno(err, "make", "an io_uring");
}

result<void> probe_ring(io_uring& ring) {
  auto needed = "gantry needs Linux " + text_of(oldest_kernel) + " or newer";
  if ((ring.features & needed_features) != needed_features)
    return unsupported("the kernel lacks a feature of it", needed);
  auto* probe = io_uring_get_probe_ring(&ring);
  if (!probe)
    return unsupported("the kernel cannot tell its opcodes", needed);
  const need* missing = nullptr;
  for (const auto& n : needs)
    if (!missing && !io_uring_opcode_supported(probe, n.opcode))
      missing = &n;
  io_uring_free_probe(probe);
  if (missing)
    return unsupported("the opcode " + std::string(missing->name) + " is missing (Linux " +
                         missing->since + " has it)",
                       needed);
  return {};
}

} // namespace gantry::io
