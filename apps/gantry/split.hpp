#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::cli {

/// A command line cut where the container's own command begins.
struct split_line {
  std::vector<std::string> own;     ///< Options and, for exec, the id.
  std::vector<std::string> command; ///< Untouched.
};

/// Cuts the arguments behind `run`, `create` or `exec`. The command begins behind `--`, or
/// with the first word that is neither an option nor an option's value, after `positionals`
/// words of gantry's own.
/// @param takes_value Says of `--name` or `-n` whether a value follows.
split_line split_at_command(const std::vector<std::string>& args, size_t positionals,
                            const std::function<bool(std::string_view)>& takes_value);

} // namespace gantry::cli
