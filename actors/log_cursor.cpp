#include "actors/log_cursor.hpp"

#include <charconv>

namespace gantry::actors {

std::string cursor_text(const io::log_place& at) {
  auto out = std::to_string(at.file_seq) + ":" + std::to_string(at.offset);
  if (at.line[0] != 0 || at.line[1] != 0)
    for (const auto line : {at.line[0], at.line[1]})
      out.append(":").append(std::to_string(line));
  return out;
}

result<io::log_place> parse_cursor(const std::string& text) {
  io::log_place at;
  if (text.empty())
    return at;
  uint64_t* const fields[] = {&at.file_seq, &at.offset, &at.line[0], &at.line[1]};
  const char* from = text.data();
  const char* const end = from + text.size();
  size_t count = 0;
  for (bool more = true; more && count < 4; ++count) {
    const auto [rest, err] = std::from_chars(from, end, *fields[count]);
    if (err != std::errc{})
      break;
    more = rest != end && *rest == ':';
    from = more ? rest + 1 : rest;
  }
  if (from == end && (count == 2 || count == 4) && text.back() != ':')
    return at;
  return error{ec::invalid_argument, "log cursor \"" + text + "\" is not one of ours",
               "use the cursor of a chunk, or none"};
}

} // namespace gantry::actors
