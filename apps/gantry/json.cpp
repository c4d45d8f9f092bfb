#include "apps/gantry/json.hpp"

#include <array>
#include <cstdio>

#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

uint8_t byte_at(std::string_view text, size_t i) {
  return static_cast<uint8_t>(text[i]);
}

/// Length of the UTF-8 character at `i`, 0 if there is no valid one.
size_t utf8_length(std::string_view text, size_t i) noexcept {
  const uint8_t first = byte_at(text, i);
  if (first < 0x80)
    return 1;
  const size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || i + n > text.size())
    return 0;
  for (size_t k = 1; k < n; ++k)
    if ((byte_at(text, i + k) & 0xc0) != 0x80)
      return 0;
  const uint8_t second = byte_at(text, i + 1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || beyond ? 0 : n;
}

void append_escaped(std::string& out, char c) {
  switch (c) {
  case '"':
    out += "\\\"";
    return;
  case '\\':
    out += "\\\\";
    return;
  case '\n':
    out += "\\n";
    return;
  case '\r':
    out += "\\r";
    return;
  case '\t':
    out += "\\t";
    return;
  default:
    break;
  }
  if (static_cast<uint8_t>(c) >= 0x20 && c != 0x7f) {
    out.push_back(c);
    return;
  }
  std::array<char, 8> code{};
  std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(c));
  out += code.data();
}

/// End of the JSON string that begins at `i`, behind its closing quote.
size_t string_end(std::string_view text, size_t i) {
  for (++i; i < text.size() && text[i] != '"'; ++i)
    if (text[i] == '\\')
      ++i;
  return std::min(i + 1, text.size());
}

size_t next_token(std::string_view text, size_t i) {
  while (i < text.size() && std::string_view(" \t\r\n").find(text[i]) != std::string_view::npos)
    ++i;
  return i;
}

} // namespace

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const size_t n = utf8_length(text, i);
    if (n == 1)
      append_escaped(out, text[i]);
    else if (n > 1)
      out.append(text.substr(i, n));
    else
      out += "\xef\xbf\xbd";
    i += n == 0 ? 1 : n;
  }
  out.push_back('"');
  return out;
}

bool is_utf8(std::string_view text) noexcept {
  for (size_t i = 0; i < text.size();) {
    const size_t n = utf8_length(text, i);
    if (n == 0)
      return false;
    i += n;
  }
  return true;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = uint32_t(byte_at(bytes, i)) << 16;
    if (i + 1 < bytes.size())
      group |= uint32_t(byte_at(bytes, i + 1)) << 8;
    if (i + 2 < bytes.size())
      group |= byte_at(bytes, i + 2);
    out.push_back(digits[group >> 18]);
    out.push_back(digits[group >> 12 & 63]);
    out.push_back(i + 1 < bytes.size() ? digits[group >> 6 & 63] : '=');
    out.push_back(i + 2 < bytes.size() ? digits[group & 63] : '=');
  }
  return out;
}

std::string json_reformatted(std::string_view text, size_t indent) {
  std::string out;
  size_t depth = 0;
  const auto new_line = [&out, &depth, indent] {
    if (indent > 0)
      out.append("\n").append(depth * indent, ' ');
  };
  for (size_t i = next_token(text, 0); i < text.size(); i = next_token(text, i)) {
    const char c = text[i];
    if (c == '"') {
      const size_t end = string_end(text, i);
      out.append(text.substr(i, end - i));
      i = end;
      continue;
    }
    ++i;
    if (c == '{' || c == '[') {
      out.push_back(c);
      const size_t next = next_token(text, i);
      if (next < text.size() && text[next] == (c == '{' ? '}' : ']')) {
        out.push_back(text[next]); // Nothing in it: it stays on its line.
        i = next + 1;
        continue;
      }
      ++depth;
      new_line();
    } else if (c == '}' || c == ']') {
      depth -= depth > 0 ? 1 : 0;
      new_line();
      out.push_back(c);
    } else {
      out.push_back(c);
      if (c == ',')
        new_line();
      else if (c == ':' && indent > 0)
        out.push_back(' ');
    }
  }
  return out;
}

json_object& json_object::time(std::string_view key, int64_t ns) {
  return ns == 0 ? null(key) : text(key, time_text(ns));
}

} // namespace gantry::cli
