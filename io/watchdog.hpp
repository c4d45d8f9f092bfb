#pragma once

#include <chrono>

namespace gantry::io {

/// A hang becomes a death: a kernel timer (timer_create, SIGABRT to the thread that made
/// this) that runs while the loop works. An idle loop has no wake-up.
///
/// Cost: arming and disarming are system calls (about 0.3 µs each), so both are lazy. `arm`
/// sets the kernel's timer only when more than half of the limit has passed since it was
/// set last: until then it reads the clock and does nothing. The loop disarms only before a
/// wait that may outlast the timer, and only after a turn without work; a busy loop
/// therefore makes one such call in each half limit, and a loop that falls idle wakes up
/// once more. In return the limit is loose: a turn of half the limit is never killed, a
/// turn of the whole limit always is.
class watchdog {
public:
  /// @param limit The longest turn that may be; 10 s where nothing else is said.
  explicit watchdog(std::chrono::milliseconds limit);
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

  /// A turn begins: it has at least half of the limit from now on.
  void arm() noexcept;
  /// The loop is about to sleep without end.
  void disarm() noexcept;

  /// Until when (monotonic) the loop may sleep with the timer running; everything if it is
  /// not armed.
  [[nodiscard]] std::chrono::nanoseconds safe_until() const noexcept;

private:
  void set(std::chrono::nanoseconds after) noexcept;

  void* timer_ = nullptr;
  std::chrono::nanoseconds limit_;
  std::chrono::nanoseconds armed_at_{0};
  bool armed_ = false;
};

} // namespace gantry::io
