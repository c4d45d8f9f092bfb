#pragma once

#include <optional>
#include <string>

#include <gantry/api.hpp>
#include <gantry/result.hpp>

namespace gantry {

/// How a program comes under a keeper by itself.
struct keeper_options {
  /// The keeper's control socket, by convention STATE/keeper.sock: there it waits for the
  /// program's next start when that ended and left its containers running. Empty: none, and
  /// the keeper ends with the program.
  std::string control{};
  std::string program{};     ///< gantry-keeper; empty: beside this program, or in libexec.
  unsigned max_restarts = 0; ///< Gives up after so many short lives in a row; 0: never.
};

/// Puts a keeper above this program, as gantryd does it for itself. To be called first in
/// main, before any thread is started or descriptor opened: without a keeper the program is
/// executed again, as the keeper's child.
///
/// @returns No value in the program that runs under the keeper: go on, call
///   `supervisor::start`. Else the exit code with which to return from main: a keeper that
///   waited has run the program in this one's stead, and it has ended.
GANTRY_API result<std::optional<int>> under_keeper(int argc, char** argv,
                                                   const keeper_options& how);

} // namespace gantry
