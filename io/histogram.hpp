#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace gantry::io {

/// Durations counted in fixed classes, each four times as wide as the one before: from 1 µs to
/// 17 s, and one for what took longer. An addition is a few instructions.
struct histogram {
  static constexpr size_t classes = 13;

  /// Upper limit of a class, inclusive, in nanoseconds: 1.024 µs, 4.096 µs, …
  static constexpr uint64_t limit_ns(size_t i) noexcept { return uint64_t{1} << (10 + 2 * i); }

  void add(int64_t ns) noexcept {
    const auto value = ns > 0 ? uint64_t(ns) : 0;
    const auto bits = std::bit_width(value > 0 ? value - 1 : 0);
    const auto i = bits <= 10 ? size_t(0) : size_t(bits - 10 + 1) / 2;
    ++counts[i < classes ? i : classes];
    ++count;
    sum_ns += value;
  }

  std::array<uint64_t, classes + 1> counts{}; ///< Each class alone; the last: longer than all.
  uint64_t count = 0;
  uint64_t sum_ns = 0;
};

} // namespace gantry::io
