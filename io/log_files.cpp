#include "io/log_files.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

namespace gantry::io {

namespace {

constexpr std::string_view name_begin = "log.";
constexpr std::string_view packed_end = ".zst";
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

std::string log_packed_path(const std::string& dir, uint64_t seq) {
  return log_file_path(dir, seq).append(packed_end);
}

std::string log_index_path(const std::string& dir, uint64_t seq) {
  return log_file_path(dir, seq) + ".idx";
}

uint64_t log_file_seq(std::string_view name) noexcept {
  if (name.ends_with(packed_end))
    name.remove_suffix(packed_end.size());
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
  out.erase(std::unique(out.begin(), out.end()), out.end()); // While it is being packed.
  return 0;
}

} // namespace gantry::io
