#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace gantry::tests {

/// How much slower than a fast machine this one is allowed to be: GANTRY_TEST_SLOWER, a number
/// from 1 up; 4 in a build with AddressSanitizer where nothing is said.
inline double slower() {
#ifdef __SANITIZE_ADDRESS__
  constexpr double usual = 4;
#else
  constexpr double usual = 1;
#endif
  const char* said = std::getenv("GANTRY_TEST_SLOWER");
  return said != nullptr ? std::max(1.0, std::atof(said)) : usual;
}

/// A deadline that was written for a fast machine.
template <class Rep, class Period>
std::chrono::duration<Rep, Period> scaled(std::chrono::duration<Rep, Period> limit) {
  using whole = std::chrono::duration<Rep, Period>;
  return std::chrono::duration_cast<whole>(std::chrono::duration<double, Period>(limit)
                                           * slower());
}

} // namespace gantry::tests
