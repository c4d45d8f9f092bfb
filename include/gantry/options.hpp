#pragma once

#include <functional>

#include <gantry/types.hpp>

namespace gantry {

/// Weight of a line of the supervisor's own log.
enum class log_level { debug, info, warn, error };

/// A supervisor inside this process.
struct start_options {
  std::string state_dir{}; ///< Absolute; sockets and bundles; may vanish at boot. Its own.
  std::string root_dir{};  ///< Absolute; journal and logs; must last. Its own.
  std::string runtime{}; ///< runc, crun or a path; empty: what fits this host.
  std::string cgroup_parent = "gantry"; ///< Containers live in /PARENT/NAMESPACE/ID.
  /// cgroupfs, or systemd: containers live in scopes that systemd makes, below the slice
  /// `cgroup_parent` (gantry.slice where that is "gantry"). Needs cgroup v2 alone and a host that
  /// systemd runs: else `unsupported` or `unavailable`.
  std::string cgroup_driver = "cgroupfs";

  /// Path of a unix socket (0660) on which the gRPC bus is served beside this interface, so
  /// that `gantry --socket PATH ps` looks inside. Empty: none.
  std::string socket{};

  /// Whether to use the keeper that started this program (`gantry-keeper -- PROGRAM …`, or
  /// `under_keeper`). Without one it makes no difference. One supervisor of a process can
  /// have the keeper; a further one needs false here, and then lives as one without.
  bool keeper = true;

  /// What `~supervisor` does with the containers under a keeper: leave them running, for the
  /// next start to take over, or stop them. Without a keeper they are always stopped.
  bool stop_containers = false;

  /// A turn of the library's thread that lasts longer kills the process (SIGABRT), so that
  /// a keeper can restart it. 0: never.
  nanoseconds longest_turn{0};

  /// Takes the supervisor's own log, on the library's thread. None: it is silent.
  std::function<void(log_level, std::string_view)> log{};
  log_level least_level = log_level::info;
};

/// A supervisor of another process: gantryd, or a program that embeds one and serves a socket.
struct connect_options {
  std::string socket = "/run/gantry/gantry.sock";
  /// A lost connection is made again for so long; then its commands fail with `unavailable`.
  std::chrono::milliseconds outage{10'000};
};

} // namespace gantry
