#pragma once

#include <chrono>

namespace gantry {

using nanoseconds = std::chrono::nanoseconds;

/// A wall time (UTC), to the nanosecond. The epoch itself stands for "not yet".
using moment = std::chrono::sys_time<nanoseconds>;

} // namespace gantry
