#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/sim/sim_random.hpp"

namespace gantry::sim {

/// Virtual time with what is going to happen on the machine. Events run in the order of their
/// time, then of their making; none runs from inside another.
class clock {
public:
  [[nodiscard]] nanoseconds now() const noexcept { return now_; }
  [[nodiscard]] nanoseconds realtime() const noexcept { return now_ + wall_offset_; }

  /// Shifts the wall clock (a person or NTP set it); the monotonic one does not notice.
  void step_wall(nanoseconds by) noexcept { wall_offset_ += by; }

  /// Runs `f` when `after` has passed.
  void in(nanoseconds after, std::function<void()> f);

  /// When the next event is due; `nanoseconds::max()` if there is none.
  [[nodiscard]] nanoseconds next() const noexcept;

  /// Moves time on, never back, and runs what is due on the way.
  void advance_to(nanoseconds when);
  void advance(nanoseconds by) { advance_to(now_ + by); }

private:
  struct event {
    nanoseconds when;
    uint64_t order;
    std::function<void()> deed;
  };
  struct later {
    bool operator()(const event& a, const event& b) const noexcept {
      return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
  };

  nanoseconds now_ = std::chrono::hours(1); ///< The host has been up for a while.
  nanoseconds wall_offset_ = std::chrono::hours(24 * 365 * 55);
  uint64_t order_ = 0;
  bool running_ = false;
  std::vector<event> heap_;
};

} // namespace gantry::sim
