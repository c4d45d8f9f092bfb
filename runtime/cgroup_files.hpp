#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// The formats of cgroup files, as pure functions.

namespace gantry::runtime {

/// A file with one decimal number; `max`, nothing and nonsense are 0.
uint64_t number_in(std::string_view text) noexcept;

/// The value behind `key ` in a file of `key value` lines; 0 if it is not there.
uint64_t value_of(std::string_view text, std::string_view key) noexcept;

/// The sum of `Read`/`Write` lines of a v1 blkio file (`8:0 Read 4096`).
uint64_t blkio_sum(std::string_view text, std::string_view operation) noexcept;

/// The sum of `key=N` words of a v2 io.stat file.
uint64_t io_stat_sum(std::string_view text, std::string_view key) noexcept;

/// v1 says "no limit" with the largest multiple of a page; that and above become 0.
uint64_t limit_or_none(uint64_t bytes) noexcept;

/// Calls `f(line)` for each line that is not empty.
template <class F>
void for_each_line(std::string_view text, F f) {
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (!line.empty())
      f(line);
    if (end == std::string_view::npos)
      return;
    text.remove_prefix(end + 1);
  }
}

/// Takes the next word (blanks between words) off `line`; empty at its end.
std::string_view next_word(std::string_view& line) noexcept;

} // namespace gantry::runtime
