#include <gantry/keeper.hpp>

#include "io/launch.hpp"

namespace gantry {

result<std::optional<int>> under_keeper(int argc, char** argv, const keeper_options& how) {
  // What the keeper gave stays where it is, for `supervisor::start` to take.
  if (io::keeper_is_parent())
    return std::optional<int>{};
  io::launch_options launch;
  launch.control = how.control;
  launch.program = how.program;
  launch.max_restarts = how.max_restarts;
  auto launched = io::become_supervised(argc, argv, launch);
  if (!launched)
    return std::move(launched).why();
  return std::optional{launched->exit_code};
}

} // namespace gantry
