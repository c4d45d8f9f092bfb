#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/histogram.hpp"

namespace gantry::actors {

/// What is counted of one container.
struct container_figures {
  std::string ns;
  std::string id;
  uint64_t stdout_bytes = 0; ///< Of all its processes that are known.
  uint64_t stderr_bytes = 0;
  uint64_t dropped_bytes = 0; ///< Of its living processes, by policy.
  uint64_t oom_kills = 0;
  uint64_t restarts = 0;
  std::string health; ///< Empty: it has no checks, or does not run.
};

/// The counters of a supervisor at one moment, since this life of it began where they count.
struct figures {
  std::string version;
  int64_t started_at_ns = 0;
  uint64_t generation = 0;
  bool keeper_alive = false;
  bool has_keeper = false;
  // loop
  uint64_t turns = 0;
  uint64_t slow_turns = 0;
  io::histogram turn_time; ///< Work of the turns, the wait left out, up to the counting itself.
  // resources
  uint64_t fds = 0, fd_limit = 0;
  uint64_t rss_bytes = 0;
  uint64_t cpu_ns = 0;
  uint64_t arena_blocks = 0, arena_blocks_used = 0;
  uint64_t log_slots = 0, log_slots_used = 0;
  uint64_t journal_pending_bytes = 0, journal_disk_bytes = 0, journal_records = 0;
  bool journal_disk_full = false;
  uint64_t event_gaps = 0;
  uint64_t own_lines_dropped = 0;
  // the runtime's commands
  uint64_t commands = 0, commands_failed = 0, commands_overdue = 0, command_ns = 0;
  uint64_t commands_in_flight = 0, commands_queued = 0;
  /// From the recorded intent of a step to its recorded outcome: create, start, exec, stop, pause
  /// and delete. But for stop and pause that is the OCI runtime's command and what surrounds it.
  std::map<std::string, io::histogram> step_time;
  // containers
  std::map<std::string, uint64_t> by_state; ///< Every state, those without a container too.
  std::map<std::string, uint64_t> exits;    ///< By cause: success, error, signal, oom, unknown.
  std::map<std::string, uint64_t> ooms;     ///< By level: container, host, inferred.
  std::map<std::string, uint64_t> failures; ///< create, start, exec: how often each failed.
  /// Runs that a restart policy has asked for, by what ended the run before: as `exits`, or
  /// unhealthy.
  std::map<std::string, uint64_t> policy_restarts;
  std::map<std::string, uint64_t> by_health; ///< Containers with checks, by their health.
  uint64_t starts = 0, restarts = 0, execs = 0, deletes = 0;
  io::histogram settle_time; ///< From the kernel's word of an end to its settled exit.
  uint64_t stdout_bytes = 0, stderr_bytes = 0, dropped_bytes = 0;
  std::vector<container_figures> each; ///< Not more than were asked for, in order of names.
  uint64_t left_out = 0;               ///< Containers that are not in `each`.
};

} // namespace gantry::actors
