#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "messages/result.hpp"

namespace gantry::io {

/// The descriptors by which a gantryd knows its keeper; `keeper_shelf` takes them.
struct keeper_fds {
  int socket = -1;
  int arena = -1;
  int news = -1;
};

/// Listening sockets that whoever started this process has handed over (`take_handed`).
struct handed_sockets {
  std::vector<int> fds; ///< From 3 on, close-on-exec.
  std::string marks;    ///< For each of them the letter of what it is for: `handed_kind`.
};

/// Under this kind, serial 0, they lie on the keeper's shelf; the note is the marks.
inline constexpr uint64_t shelf_handed = 32;

/// How gantryd wants to be supervised.
struct launch_options {
  bool keeper = true;        ///< False: go on alone (`--no-keeper`).
  std::string control;       ///< Path of the keeper's control socket, in the state directory;
                             ///< empty: none, and a keeper cannot wait for a successor.
  std::string program;       ///< The keeper's program; empty: found beside ours.
  unsigned max_restarts = 0; ///< As the keeper's option; 0: it never gives up.
  bool detach = false;       ///< After a hand-over: do not stay as a proxy.
  /// The keeper is started beside this process, which stays as gantryd's proxy from the first
  /// start on. A service manager can then stop what it started, and the keeper with the
  /// containers' streams stays. Where a gantryd runs whose proxy was killed, this process takes
  /// the proxy's place.
  bool apart = false;
  /// They go on the keeper's shelf before gantryd is started, instead of those of the start
  /// before: each gantryd finds them there, also after a crash.
  handed_sockets handed = {};
  /// The proxy hears that gantryd serves: after each start.
  std::function<void(int pid)> on_serving;
};

/// What has become of this process.
struct launched {
  enum class as {
    supervised, ///< It runs under a keeper: `fds` are ours.
    alone,      ///< It runs without one.
    proxy,      ///< Another gantryd ran in its stead and has ended: exit with `exit_code`.
  };
  as what = as::alone;
  keeper_fds fds;
  int exit_code = 0;
  handed_sockets handed = {}; ///< `alone`: those of the options, which lie on no shelf yet.
};

/// To be called first in gantryd's main, before any thread or descriptor. Started by a
/// keeper, it takes what it was given. Else, if a keeper waits on the control socket, that
/// one is asked to run this very program with our arguments, environment and stdio, and
/// this process stays as its proxy: passes signals on, and ends as it ends. Else this
/// process becomes a keeper (exec), whose child is this very program.
///
/// Errors: `already_exists` when a gantryd runs on this state, `not_found` for the keeper's
/// program, `unsupported` for a keeper of another version.
result<launched> become_supervised(int argc, char** argv, const launch_options& how);

/// Whether a keeper started this very process and its descriptors are still there.
bool keeper_is_parent();

/// The descriptors of the keeper that started this very process, close-on-exec from now on;
/// none where no keeper did (the variable of the environment was another's, a parent's, or
/// its descriptors are given back already). Each of a keeper's programs can take them once:
/// `already_exists` after that. The environment stays as it is.
result<std::optional<keeper_fds>> take_keeper();

/// Takes the value of GANTRY_KEEPER apart. Pure.
result<keeper_fds> parse_keeper_variable(const std::string& value);

} // namespace gantry::io
