#pragma once

#include <string>
#include <vector>

#include "io/loop.hpp"

namespace gantry::actors {

/// Runs a program of the host, as gantryd's own user, with nothing but `env` and /dev/null; after
/// 30 seconds it is killed. How it ends is only worth a line in gantryd's log.
/// @param about Whose hook it is, for that line.
void run_hook(io::loop& l, const std::string& program, std::vector<std::string> env,
              std::string about);

} // namespace gantry::actors
