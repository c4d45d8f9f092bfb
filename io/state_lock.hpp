#pragma once

#include <string>

#include "io/kernel.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// Makes the state directory (0700) if need be and takes its lock, `gantryd.lock`, which
/// lasts as long as the descriptor. `already_exists` when another supervisor has it, of this
/// process or of another; the message names its pid.
result<fd> lock_state(kernel& k, const std::string& state_dir);

} // namespace gantry::io
