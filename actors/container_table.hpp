#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "messages/gantry.pb.h"

namespace gantry::actors {

// The life of a container as a table: every pair of phase and event is decided here, once,
// and the compiler counts them. The drawing in ARCHITECTURE.md is printed from it.

/// Where a container is. Work in progress is a phase of its own.
enum class phase : uint8_t {
  creating, ///< The runtime's create (or run) is under way.
  created,  ///< Init waits to be started.
  starting, ///< The runtime's start is under way.
  waiting,  ///< The same as created, and started once what it comes after is there.
  running,
  pausing,  ///< The freeze is asked for, not complete.
  paused,
  checkpointing, ///< The runtime's checkpoint is under way.
  stopping, ///< A signal was sent; grace, then SIGKILL.
  stopped,  ///< Init has exited, and its exit is settled.
  restarting, ///< The same, and its policy starts it again at a time that is known.
  dead,     ///< The same, and its policy has given it up.
  deleting, ///< On the way out: kill, runtime delete, files.
  gone,     ///< Deleted, or never made.
  count_,
};

/// What can happen to it.
enum class event : uint8_t {
  made,         ///< The runtime's create succeeded.
  made_running, ///< The runtime's run succeeded.
  made_to_start, ///< Its create succeeded, and a start follows at once.
  make_failed,
  start,        ///< A client wants it started.
  started,      ///< The runtime's start succeeded.
  start_failed,
  exec,         ///< A client wants another process.
  kill,         ///< A client sends a signal.
  stop,         ///< A client wants it stopped.
  pause,        ///< A client wants it frozen.
  frozen,       ///< The freeze is complete.
  freeze_failed,
  resume,       ///< A client wants it thawed.
  update,       ///< A client changes limits.
  checkpoint,   ///< A client wants its state on disk.
  checkpointed, ///< The runtime's checkpoint succeeded.
  checkpoint_failed,
  exited,       ///< Init's exit is settled.
  unstarted,    ///< Init ended before it was started.
  remove,       ///< A client wants it gone.
  remove_force, ///< The same, alive or not.
  deleted,      ///< Everything of it is gone.
  delete_failed,
  schedule,     ///< Its policy wants another run.
  give_up,      ///< Its policy wants no more of it.
  restart_due,  ///< The time of that run has come.
  must_wait,    ///< Its start is wanted, and others are not there yet.
  may_start,    ///< Now they are.
  count_,
};

/// What the table says about a pair.
enum class verdict : uint8_t {
  go,     ///< Do it; the phase becomes `next`.
  later,  ///< Keep it until the phase has changed.
  refuse, ///< Answer wrong_state with `why`.
  done,   ///< It is so already: answer success.
  ignore, ///< Nothing to do, for the reason `why`.
  bug,    ///< Cannot happen: abort.
};

/// What the table says of one pair.
struct rule {
  phase from;
  event on;
  verdict what;
  phase next;
  std::string_view why = {};
};

/// The rule for a pair. Total.
const rule& decide(phase from, event on) noexcept;

std::string_view name_of(phase p) noexcept;
std::string_view name_of(event e) noexcept;

/// The phase that a recorded state stands for.
phase phase_of(v1::State state) noexcept;

} // namespace gantry::actors
