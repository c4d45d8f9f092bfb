#pragma once

#include <cstdint>

namespace gantry::io {

/// Where every op sends an errno that only a bug of ours can bring (EBADF on a descriptor
/// that we own, EFAULT on our memory): prints the op and the errno, and aborts.
[[noreturn]] void impossible(const char* op_name, int32_t res) noexcept;

} // namespace gantry::io
