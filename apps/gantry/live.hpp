#pragma once

#include <functional>
#include <string>

#include "apps/gantry/session.hpp"

namespace gantry::cli {

/// Whether a command goes on and on: asked for by --interval, or because its output is a
/// terminal and nothing else was asked for.
bool is_live(const session& s);

/// Shows frame after frame: on a terminal each in the place of the last one, elsewhere one
/// behind the other. Ends with the first fault, or by a signal.
/// @param frame The whole text of one.
/// @returns The exit code of the fault.
int show_live(const session& s, const std::function<result<std::string>()>& frame);

} // namespace gantry::cli
