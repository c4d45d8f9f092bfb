#pragma once

#include <optional>

#include <gantry/time.hpp>

namespace gantry {

/// A socket at which a container tells how it is, in the words of sd_notify(3). It is ready when it
/// says so.
struct notify_socket {
  std::optional<nanoseconds> watchdog{};      ///< Once ready, it says WATCHDOG=1 so often.
  std::optional<nanoseconds> start_timeout{}; ///< Not ready within this, it is unhealthy.
  std::optional<nanoseconds> extend_max{};    ///< So much longer it may ask for; none: 5 min.
  bool main_only = false; ///< Only its init is heard.
};

} // namespace gantry
