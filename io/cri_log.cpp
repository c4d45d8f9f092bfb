#include "io/cri_log.hpp"

#include <cstring>

namespace gantry::io {

namespace {

using namespace std::string_view_literals;

constexpr size_t tag_at = 38;

/// Takes a word and the blank behind it off the front.
std::string_view take_word(std::string_view& line) noexcept {
  const size_t end = line.find(' ');
  if (end == std::string_view::npos)
    return {};
  const std::string_view out = line.substr(0, end);
  line.remove_prefix(end + 1);
  return out;
}

} // namespace

cri_writer::cri_writer(const record_style& style) noexcept {
  const auto time = time_text(style.time_ns);
  std::memcpy(begin_.data(), time.data(), time.size());
  const std::string_view rest = style.stream == 0 ? " stdout F "sv : " stderr F "sv;
  std::memcpy(begin_.data() + time.size(), rest.data(), rest.size());
}

void cri_writer::put(std::string_view text, page_buffer& out) const {
  char* const to = out.room(begin_.size() + text.size() + 1);
  std::memcpy(to, begin_.data(), begin_.size());
  std::memcpy(to + begin_.size(), text.data(), text.size());
  size_t size = begin_.size() + text.size();
  if (text.empty() || text.back() != '\n') {
    to[tag_at] = 'P';
    to[size++] = '\n';
  }
  out.grew(size);
}

bool parse_cri_record(std::string_view line, log_piece& out) {
  out = {};
  if (!parse_time(take_word(line), out.time_ns))
    return false;
  const std::string_view stream = take_word(line);
  const std::string_view tags = take_word(line); // More may follow behind a colon.
  if (stream != "stdout" && stream != "stderr")
    return false;
  const bool whole = tags == "F" || tags.starts_with("F:");
  if (!whole && tags != "P" && !tags.starts_with("P:"))
    return false;
  out.stream = stream == "stderr" ? 2 : 1;
  out.bytes = line;
  if (whole)
    out.bytes += '\n';
  return true;
}

} // namespace gantry::io
