#pragma once

#include <string>

#include "actors/services.hpp"
#include "gateways/bus/peer.hpp"
#include "messages/result.hpp"
#include "metrics_door.hpp"

namespace gantry::daemon {

/// Exit codes of gantryd (sysexits.h): the keeper does not restart it after these.
inline constexpr int exit_usage = 64;
inline constexpr int exit_unavailable = 69;
inline constexpr int exit_config = 78;

/// Everything that the command line and the configuration file can say.
struct daemon_options {
  actors::supervisor_options supervisor;
  runtime::engine_policy engine;
  std::string socket;     ///< Default: STATE/gantry.sock.
  std::string fds_socket; ///< Beside it: fds.sock, or NAME.fds where it has another name.
  bus::role_policy roles;
  metrics_options metrics;
  std::string config;
  std::string log_level = "info";
  std::string runtime_copy = "auto"; ///< Or never.
  std::string cgroup_driver = "cgroupfs"; ///< Or systemd.
  double runtime_deadline = 0; ///< Seconds for every runtime command; 0: the engine's own.
  double cgroup_linger = 0;    ///< Seconds; 0: the engine's own.
  bool stop_containers = false; ///< On SIGTERM: stop them, or leave them running.
  bool keeper = true;
  bool keeper_apart = false; ///< The keeper is no ancestor of ours: it was started beside us.
};

/// What `parse` found out.
struct parsed_options {
  daemon_options options;
  bool done = false; ///< --help or --version was answered, or the usage was wrong.
  int exit_code = 0;
};

/// Reads the command line, and the file that --config names (TOML; the command line wins).
parsed_options parse(int argc, char** argv);

} // namespace gantry::daemon
