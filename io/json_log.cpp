#include "io/json_log.hpp"

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace gantry::io {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view record_begin = "{\"log\":\"";
constexpr char hex[] = "0123456789abcdef";

constexpr uint8_t byte_of(char c) {
  return static_cast<uint8_t>(c);
}

/// Bytes that cannot be copied as they are: control characters, quote, backslash, and
/// whatever is not ASCII.
constexpr bool is_special(char c) {
  return byte_of(c) < 0x20 || byte_of(c) >= 0x80 || c == '"' || c == '\\';
}

/// Copies up to the first special byte. Writes up to 16 bytes more than it copied: the
/// caller has the room.
/// @returns how many bytes were copied.
size_t copy_plain(const char* from, size_t size, char* to) noexcept {
  size_t i = 0;
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i blank = _mm_set1_epi8(0x20);
  for (; i + 16 <= size; i += 16) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), x);
    // As signed numbers, everything from 0x80 is below the blank as well.
    const __m128i hit =
      _mm_or_si128(_mm_cmplt_epi8(x, blank),
                   _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash)));
    const unsigned mask = static_cast<unsigned>(_mm_movemask_epi8(hit));
    if (mask != 0)
      return i + static_cast<size_t>(__builtin_ctz(mask));
  }
#endif
  for (; i < size && !is_special(from[i]); ++i)
    to[i] = from[i];
  return i;
}

char* copy(char* to, std::string_view bytes) noexcept {
  std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

/// Writes the escape of an ASCII character that needs one.
char* put_escape(char* to, char c) noexcept {
  *to++ = '\\';
  switch (c) {
  case '"':
  case '\\':
    *to++ = c;
    return to;
  case '\n':
    *to++ = 'n';
    return to;
  case '\r':
    *to++ = 'r';
    return to;
  case '\t':
    *to++ = 't';
    return to;
  default:
    to = copy(to, "u00"sv);
    *to++ = hex[byte_of(c) >> 4];
    *to++ = hex[byte_of(c) & 15];
    return to;
  }
}

/// Writes `text` escaped; `to` has room for six times its size and 16 bytes.
/// @param broken Set when a byte was no UTF-8.
char* put_text(char* to, std::string_view text, bool& broken) noexcept {
  while (!text.empty()) {
    const size_t plain = copy_plain(text.data(), text.size(), to);
    to += plain;
    text.remove_prefix(plain);
    while (!text.empty() && is_special(text.front())) {
      if (byte_of(text.front()) < 0x80) {
        to = put_escape(to, text.front());
        text.remove_prefix(1);
        continue;
      }
      const size_t length = utf8_length(text);
      if (length == 0) {
        broken = true;
        to = copy(to, "\\ufffd"sv);
        text.remove_prefix(1);
      } else if (text.starts_with("\xe2\x80\xa8"sv) || text.starts_with("\xe2\x80\xa9"sv)) {
        to = copy(to, text[2] == '\xa8' ? "\\u2028"sv : "\\u2029"sv);
        text.remove_prefix(3);
      } else {
        to = copy(to, text.substr(0, length));
        text.remove_prefix(length);
      }
    }
  }
  return to;
}

char* put_base64(char* to, std::string_view bytes) noexcept {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const uint32_t x = uint32_t(byte_of(bytes[i])) << 16 | uint32_t(byte_of(bytes[i + 1])) << 8 |
                       byte_of(bytes[i + 2]);
    for (int shift = 18; shift >= 0; shift -= 6)
      *to++ = digits[(x >> shift) & 63];
  }
  const size_t left = bytes.size() - i;
  if (left != 0) {
    uint32_t x = uint32_t(byte_of(bytes[i])) << 16;
    if (left == 2)
      x |= uint32_t(byte_of(bytes[i + 1])) << 8;
    *to++ = digits[(x >> 18) & 63];
    *to++ = digits[(x >> 12) & 63];
    *to++ = left == 2 ? digits[(x >> 6) & 63] : '=';
    *to++ = '=';
  }
  return to;
}

} // namespace

size_t utf8_length(std::string_view text) noexcept {
  const auto follows = [text](size_t i, uint8_t low, uint8_t high) {
    return i < text.size() && byte_of(text[i]) >= low && byte_of(text[i]) <= high;
  };
  const uint8_t lead = byte_of(text.front());
  if (lead >= 0xc2 && lead <= 0xdf)
    return follows(1, 0x80, 0xbf) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) && follows(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

json_writer::json_writer(const record_style& style) noexcept {
  char* to = copy(end_.data(), style.stream == 0 ? "\",\"stream\":\"stdout\",\"time\":\""sv
                                                : "\",\"stream\":\"stderr\",\"time\":\""sv);
  const auto time = time_text(style.time_ns);
  to = copy(to, {time.data(), time.size()});
  to = copy(to, "\"}\n"sv);
  end_size_ = static_cast<size_t>(to - end_.data());
}

char* json_writer::put_usual_end(char* to) const noexcept {
  return copy(to, {end_.data(), end_size_});
}

/// With the exact bytes, in a record that has bytes that are no UTF-8.
char* json_writer::put_raw_end(char* to, std::string_view bytes) const noexcept {
  to = copy(to, {end_.data(), end_size_ - 2});
  to = copy(to, ",\"raw\":\""sv);
  to = put_base64(to, bytes);
  return copy(to, "\"}\n"sv);
}

void json_writer::put(std::string_view text, page_buffer& out) const {
  // The worst: each byte is no UTF-8, six bytes for it and 4/3 in base64.
  char* const begin = out.room(text.size() * 8 + 256);
  bool broken = false;
  char* to = put_text(copy(begin, record_begin), text, broken);
  to = broken ? put_raw_end(to, text) : put_usual_end(to);
  out.grew(static_cast<size_t>(to - begin));
}

} // namespace gantry::io
