#pragma once

#include <string>
#include <string_view>

namespace gantry::runtime {

/// A text from outside in quotes, printable and short enough for an error message.
std::string shown(std::string_view text);

/// Whether it is valid UTF-8 without a NUL: what JSON and exec can carry.
bool is_clean_text(std::string_view text) noexcept;

} // namespace gantry::runtime
