#pragma once

namespace gantry {

/// Prints `what` with its place to stderr and aborts: for our own bugs, in release
/// builds too. Async-signal-safe.
[[noreturn]] void check_failed(const char* what, const char* file, int line) noexcept;

} // namespace gantry

/// Aborts, in release too, when `cond` does not hold. For what only we can do wrong.
#define GANTRY_CHECK(cond)                                                                         \
  (static_cast<bool>(cond) ? void(0) : ::gantry::check_failed(#cond, __FILE__, __LINE__))
