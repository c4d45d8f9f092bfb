#include "runtime/cgroup_files.hpp"

#include <algorithm>
#include <charconv>

namespace gantry::runtime {

std::string_view next_word(std::string_view& line) noexcept {
  while (!line.empty() && line.front() == ' ')
    line.remove_prefix(1);
  size_t end = std::min(line.find(' '), line.size());
  std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

uint64_t number_in(std::string_view text) noexcept {
  uint64_t value = 0;
  auto [stop, err] = std::from_chars(text.data(), text.data() + text.size(), value);
  return err == std::errc{} ? value : 0;
}

uint64_t value_of(std::string_view text, std::string_view key) noexcept {
  uint64_t out = 0;
  for_each_line(text, [&out, key](std::string_view line) {
    if (next_word(line) == key)
      out = number_in(next_word(line));
  });
  return out;
}

uint64_t blkio_sum(std::string_view text, std::string_view operation) noexcept {
  uint64_t sum = 0;
  for_each_line(text, [&sum, operation](std::string_view line) {
    next_word(line); // device
    if (next_word(line) == operation)
      sum += number_in(next_word(line));
  });
  return sum;
}

uint64_t io_stat_sum(std::string_view text, std::string_view key) noexcept {
  uint64_t sum = 0;
  for_each_line(text, [&sum, key](std::string_view line) {
    for (auto word = next_word(line); !word.empty(); word = next_word(line))
      if (word.starts_with(key) && word.size() > key.size() && word[key.size()] == '=')
        sum += number_in(word.substr(key.size() + 1));
  });
  return sum;
}

uint64_t limit_or_none(uint64_t bytes) noexcept {
  constexpr uint64_t none = 0x7ffffffffffff000; // PAGE_COUNTER_MAX with pages of 4 KiB
  constexpr uint64_t none_64k = 0x7fffffffffff0000;
  return bytes >= std::min(none, none_64k) ? 0 : bytes;
}

} // namespace gantry::runtime
