#pragma once

#include "io/launch.hpp"

namespace gantry::io {

/// Connects to a keeper's control socket; -1 if there is no keeper, an error if it is not
/// ours (SO_PEERCRED).
result<int> connect_keeper(const std::string& control);

/// Has the keeper run `program` with our arguments, and stays as its proxy until it ends.
/// @param keeper The connection; closed here.
result<launched> hand_over(int keeper, const std::string& program, int argc, char** argv,
                           const launch_options& how);

} // namespace gantry::io
