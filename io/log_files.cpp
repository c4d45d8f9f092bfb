#include "io/log_files.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

namespace gantry::io {

namespace {

constexpr std::string_view name_begin = "log.";
constexpr size_t least_digits = 6;

} // namespace

std::string log_file_path(const std::string& dir, uint64_t seq) {
  std::string digits = std::to_string(seq);
  if (digits.size() < least_digits)
    digits.insert(0, least_digits - digits.size(), '0');
  std::string path = dir;
  path += '/';
  path += name_begin;
  path += digits;
  return path;
}

uint64_t log_file_seq(const std::string& name) noexcept {
  if (!name.starts_with(name_begin) || name.size() < name_begin.size() + least_digits)
    return 0;
  uint64_t seq = 0;
  const char* end = name.data() + name.size();
  const auto [ptr, err] = std::from_chars(name.data() + name_begin.size(), end, seq);
  return ptr == end && err == std::errc() ? seq : 0;
}

int list_log_files(kernel& k, const std::string& dir, std::vector<uint64_t>& out) {
  out.clear();
  std::vector<std::string> names;
  const int err = k.list(dir, names);
  if (err == -ENOENT)
    return 0;
  if (err < 0)
    return err;
  for (const std::string& name : names)
    if (const uint64_t seq = log_file_seq(name); seq != 0)
      out.push_back(seq);
  std::sort(out.begin(), out.end());
  return 0;
}

} // namespace gantry::io
