#include "runtime/foreign_text.hpp"

#include <cstdint>

namespace gantry::runtime {

namespace {

/// Length of the UTF-8 sequence at the front of `text`, 0 if it is none.
size_t sequence_at(std::string_view text) noexcept {
  auto byte = [text](size_t i) { return uint8_t(text[i]); };
  uint8_t lead = byte(0);
  if (lead < 0x80)
    return 1;
  size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size)
    return 0;
  for (size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0) != 0x80)
      return 0;
  bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  bool surrogate = lead == 0xed && byte(1) > 0x9f;
  bool too_large = lead == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || too_large ? 0 : size;
}

} // namespace

std::string shown(std::string_view text) {
  constexpr size_t most = 80;
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text.substr(0, most)) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\')
      out += c;
    else
      out.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
  }
  out += text.size() > most ? "...\"" : "\"";
  return out;
}

bool is_clean_text(std::string_view text) noexcept {
  while (!text.empty()) {
    size_t n = text.front() == '\0' ? 0 : sequence_at(text);
    if (n == 0)
      return false;
    text.remove_prefix(n);
  }
  return true;
}

} // namespace gantry::runtime
