#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "io/loop.hpp"
#include "io/pump.hpp"
#include "io/reaper.hpp"
#include "tests/sim/sim_kernel.hpp"
#include "tests/sim/sim_shelf.hpp"

namespace gantry::sim {

/// What one life of gantryd has below its actors.
struct life {
  explicit life(machine& m, uint64_t kill_at = 0) : kernel(m, kill_at) {}

  incarnation kernel;
  io::loop loop{kernel};
  sim_shelf shelf{kernel};

  [[nodiscard]] bool dead() const noexcept { return kernel.dead(); }

  /// Turns until `done`, the death of this life, or the end of all things (nothing will ever
  /// happen), at most `limit` of virtual time.
  template <class F>
  bool until(F done, nanoseconds limit = std::chrono::minutes(10)) {
    const auto end = kernel.monotonic() + limit;
    while (!done() && !dead() && kernel.monotonic() < end) {
      if (!loop.turn(true) && kernel.stuck() && !done())
        return false;
    }
    return done();
  }

  /// Lets every request end after a death.
  void bury() {
    kernel.bury();
    // What keeps itself (a command that is watched, a timer that tries again) ends by itself:
    // for the dead, time passes without end.
    for (int idle = 0, turns = 0; idle < 3 && turns < 100'000; ++turns)
      idle = loop.turn(dead() || loop.in_flight() > 0) || loop.in_flight() > 0 ? 0 : idle + 1;
  }
};

/// A number from the environment, for longer runs and for a replay.
inline uint64_t env_number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

} // namespace gantry::sim
