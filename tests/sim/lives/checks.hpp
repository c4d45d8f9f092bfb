#pragma once

#include <string>
#include <vector>

#include "tests/sim/lives/world.hpp"

namespace gantry::sim {

/// What is wrong, in words; empty if nothing is.
using findings = std::vector<std::string>;

/// The promises about events: sequence numbers grow; each (instance, run, process) that started
/// has exactly one exit, behind its start, with the status and the byte counts that the machine
/// knows. Called at rest: whoever was reaped must have its exit.
/// @param all_removed Each instance that was created must have one delete, and nothing behind it.
void check_events(world& w, const std::vector<v1::Event>& events, bool all_removed,
                  findings& out);

/// The log files of every process that the supervisor knows hold, byte for byte, what was
/// written to its pipes. At rest: no log of an ended process has its last words to come.
void check_logs(world& w, findings& out);
/// … of one container, at any time: logs that are still being finished are passed over.
void check_logs(world& w, const std::string& id, findings& out);

/// What `list` says is what the machine has.
void check_list(world& w, findings& out);

/// Once everything was removed nothing is left: files, control groups, processes, runtime
/// state, shelf, arena.
void check_nothing_left(world& w, findings& out);

} // namespace gantry::sim
