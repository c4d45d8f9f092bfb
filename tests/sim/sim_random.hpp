#pragma once

#include <chrono>
#include <cstdint>

namespace gantry::sim {

using nanoseconds = std::chrono::nanoseconds;

/// The one source of chance in a simulation: the same seed gives the same world.
class dice {
public:
  explicit dice(uint64_t seed) noexcept : state_(seed * 0x9e3779b97f4a7c15u + 1) {}

  /// 64 fair bits (splitmix64).
  uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// A number in [0, n); 0 for n = 0.
  uint64_t below(uint64_t n) noexcept { return n == 0 ? 0 : next() % n; }

  /// A number in [from, to], both ends included.
  uint64_t between(uint64_t from, uint64_t to) noexcept { return from + below(to - from + 1); }

  /// A span of time in [from, to].
  nanoseconds between(nanoseconds from, nanoseconds to) noexcept {
    return nanoseconds(int64_t(between(uint64_t(from.count()), uint64_t(to.count()))));
  }

  /// True with this probability. Takes no number from the stream for 0, so that a fault that is
  /// switched off does not change the rest of the run.
  bool chance(double p) noexcept {
    return p > 0 && double(next() >> 11) * 0x1.0p-53 < p;
  }

private:
  uint64_t state_;
};

} // namespace gantry::sim
