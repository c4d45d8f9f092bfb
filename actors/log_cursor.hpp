#pragma once

#include <string>

#include "io/log_reader.hpp"

namespace gantry::actors {

/// A place in a log as text: "FILE:OFFSET", and ":LINE:LINE" where a line is unfinished.
std::string cursor_text(const io::log_place& at);

/// Reads it back; empty is the beginning.
result<io::log_place> parse_cursor(const std::string& text);

} // namespace gantry::actors
