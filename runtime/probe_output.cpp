#include "runtime/probe_output.hpp"

#include <algorithm>

#include "io/json_log.hpp"

namespace gantry::runtime {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd"; // U+FFFD
constexpr std::string_view more = "...";

/// Bytes of the character at the front; 0: it is none.
size_t length_of(std::string_view text) noexcept {
  const auto first = static_cast<unsigned char>(text.front());
  if (first == 0)
    return 0; // No JSON and no terminal wants it.
  return first < 0x80 ? 1 : io::utf8_length(text);
}

/// The beginning of `text` in clean characters, at most `most` bytes. @param all Set to false
/// where something was left out.
std::string clean(std::string_view text, size_t most, bool& all) {
  std::string out;
  while (!text.empty()) {
    const auto length = length_of(text);
    const auto next = length == 0 ? replacement : text.substr(0, length);
    if (out.size() + next.size() > most) {
      all = false;
      break;
    }
    out.append(next);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

} // namespace

void probe_output::feed(std::string_view piece) {
  total_ += piece.size();
  // A byte more shows whether anything was left out.
  kept_.append(piece.substr(0, most_ + 1 - std::min(kept_.size(), most_ + 1)));
}

std::string probe_output::text() const {
  bool all = kept_.size() == total_;
  auto out = clean(kept_, most_, all);
  if (all || most_ < more.size())
    return out;
  return clean(kept_, most_ - more.size(), all).append(more);
}

} // namespace gantry::runtime
