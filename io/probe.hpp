#pragma once

#include <optional>
#include <string>

#include "messages/result.hpp"

struct io_uring;

namespace gantry::io {

/// A kernel's number.
struct kernel_version {
  int major = 0;
  int minor = 0;
  auto operator<=>(const kernel_version&) const = default;
};

/// The floor: io_uring with DEFER_TASKRUN (6.1).
inline constexpr kernel_version oldest_kernel{6, 1};

/// The version in a release text of uname(2), such as `6.1.0-56-amd64`.
std::optional<kernel_version> parse_kernel_version(const std::string& release) noexcept;

/// The running kernel's version; 0.0 if it cannot be read.
kernel_version running_kernel() noexcept;

/// Why a ring could not be made, with the cause and the cure.
/// @param err The positive errno of io_uring_setup(2).
/// @param disabled_sysctl Content of /proc/sys/kernel/io_uring_disabled, empty if not there.
error ring_refused(int err, kernel_version running, const std::string& disabled_sysctl);

/// Asks the kernel once whether it has everything that the ops use; an error names the
/// first thing that is missing and the kernel version that brought it.
result<void> probe_ring(io_uring& ring);

} // namespace gantry::io
