#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <gantry/time.hpp>

// When a container is started, and when it is started again.

namespace gantry {

/// What must hold of another container of the same namespace before one is started.
struct after_condition {
  std::string id{};                   ///< It must exist when the container is made.
  std::string condition = "started";  ///< Or ready, healthy, exited_ok.
};

/// When a container is started again after its end. It undoes nothing that a person did: no stop,
/// and no kill with SIGKILL or the stop signal.
struct restart_policy {
  std::string when = "no"; ///< Or on-failure, always, unless-stopped.
  uint32_t retries = 0; ///< on-failure: so many in a row, then it is dead; 0: no limit.
  std::optional<nanoseconds> delay{};       ///< Before the first in a row; none: 100 ms.
  std::optional<double> factor{};           ///< Each further waits so many times as long; 2.
  std::optional<nanoseconds> delay_max{};   ///< But not longer than this; none: 1 min.
  std::optional<double> jitter{};           ///< Share by which one is shortened at most; 0.1.
  std::optional<nanoseconds> reset_after{}; ///< Up for so long, it begins anew; none: 10 s.
  std::optional<uint32_t> attempts{}; ///< At most so many within the window, then it is dead.
  std::optional<nanoseconds> window{};
  /// WHAT:ACT, before `when` is asked; the first that matches decides. exit=3, exit=10-20,
  /// signal=SEGV, oom, unhealthy, overtime; restart, stay, dead.
  std::vector<std::string> rules{};
};

/// Where a container's restart policy is.
struct restart_report {
  uint32_t attempt = 0; ///< Restarts in a row.
  uint32_t of = 0;      ///< Of at most so many; 0: no limit.
  uint64_t total = 0;   ///< Since its create.
  moment next{};        ///< When it is started again; the epoch: nothing is scheduled.
  std::string reason{}; ///< Of the last restart, or of having been given up.
};

} // namespace gantry
