#pragma once

#include <string>
#include <string_view>

#include "messages/error.hpp"

namespace gantry::cli {

/// Decides how errors look: as JSON objects, in red on a terminal, or plain.
void set_error_style(bool json, bool no_color);

/// Whether text to `fd` may have colours: a terminal, and neither --no-color nor NO_COLOR.
bool color_on(int fd, bool no_color);

/// One line to stderr: the thing, the cause, and the cure where there is one.
void say_error(const error& why);

/// One line to stderr that is not an error.
void say_note(std::string_view text);

/// Writes all of `text` to stdout. A reader that has gone ends the program quietly, with
/// the exit code that SIGPIPE would have given; another failure ends it with 125.
void print(std::string_view text);

/// Ends the program after a failed write to stdout or stderr, as `print` says.
[[noreturn]] void end_after_failed_write(int err);

} // namespace gantry::cli
