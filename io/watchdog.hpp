#pragma once

#include <chrono>

namespace gantry::io {

/// A hang becomes a death: a kernel timer (timer_create, SIGABRT to this thread) that is
/// armed at the start of a turn and disarmed before the wait. An idle loop has no wake-up.
class watchdog {
public:
  /// @param limit The longest turn that may be; 10 s where nothing else is said.
  explicit watchdog(std::chrono::milliseconds limit);
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

  void arm() noexcept;
  void disarm() noexcept;

private:
  void* timer_ = nullptr;
  std::chrono::milliseconds limit_;
};

} // namespace gantry::io
