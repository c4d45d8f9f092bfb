#include "io/json_log.hpp"

#include <chrono>

namespace gantry::io {

namespace {

/// A small strict reader of what a record may hold: an object of strings, and Docker's
/// `attrs`, an object of strings in it.
class record_parser {
public:
  explicit record_parser(std::string_view text) noexcept : rest_(text) {}

  bool object(log_piece& out) {
    if (!token('{') || !members(out))
      return false;
    blanks();
    return rest_.empty() && has_log_ && has_stream_;
  }

private:
  void blanks() noexcept {
    while (!rest_.empty() &&
           (rest_.front() == ' ' || rest_.front() == '\t' || rest_.front() == '\r'))
      rest_.remove_prefix(1);
  }

  bool token(char c) noexcept {
    blanks();
    if (rest_.empty() || rest_.front() != c)
      return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool members(log_piece& out) {
    do {
      std::string key;
      if (!string(key) || !token(':') || !member(key, out))
        return false;
    } while (token(','));
    return token('}');
  }

  bool member(const std::string& key, log_piece& out) {
    if (key == "attrs")
      return attrs();
    if (key == "log") {
      has_log_ = true;
      std::string ignored; // `raw` says it more exactly.
      return string(has_raw_ ? ignored : out.bytes);
    }
    std::string value;
    if (!string(value))
      return false;
    if (key == "raw") {
      has_raw_ = true;
      return base64(value, out.bytes);
    }
    if (key == "time")
      return parse_time(value, out.time_ns);
    if (key != "stream")
      return false;
    has_stream_ = value == "stdout" || value == "stderr";
    out.stream = value == "stderr" ? 2 : 1;
    return has_stream_;
  }

  bool attrs() {
    if (!token('{'))
      return false;
    if (token('}'))
      return true;
    do {
      std::string ignored;
      if (!string(ignored) || !token(':') || !string(ignored))
        return false;
    } while (token(','));
    return token('}');
  }

  bool string(std::string& out) {
    out.clear();
    if (!token('"'))
      return false;
    for (;;) {
      size_t plain = 0;
      while (plain < rest_.size() && rest_[plain] != '"' && rest_[plain] != '\\' &&
             static_cast<uint8_t>(rest_[plain]) >= 0x20)
        ++plain;
      out.append(rest_.substr(0, plain));
      rest_.remove_prefix(plain);
      if (rest_.empty())
        return false;
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"')
        return true;
      if (c != '\\' || !escape(out))
        return false;
    }
  }

  bool escape(std::string& out) {
    if (rest_.empty())
      return false;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    switch (c) {
    case '"':
    case '\\':
    case '/':
      out += c;
      return true;
    case 'n':
      out += '\n';
      return true;
    case 'r':
      out += '\r';
      return true;
    case 't':
      out += '\t';
      return true;
    case 'b':
      out += '\b';
      return true;
    case 'f':
      out += '\f';
      return true;
    case 'u':
      return unicode(out);
    default:
      return false;
    }
  }

  bool four_digits(uint32_t& value) noexcept {
    if (rest_.size() < 4)
      return false;
    value = 0;
    for (const char c : rest_.substr(0, 4)) {
      uint32_t digit = 0;
      if (c >= '0' && c <= '9')
        digit = static_cast<uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<uint32_t>(c - 'A' + 10);
      else
        return false;
      value = value << 4 | digit;
    }
    rest_.remove_prefix(4);
    return true;
  }

  /// A surrogate without its partner becomes U+FFFD, as in Go.
  bool unicode(std::string& out) {
    uint32_t x = 0;
    if (!four_digits(x))
      return false;
    if (x >= 0xd800 && x < 0xdc00 && rest_.starts_with("\\u")) {
      const std::string_view before = rest_;
      uint32_t low = 0;
      rest_.remove_prefix(2);
      if (!four_digits(low))
        return false;
      if (low >= 0xdc00 && low < 0xe000)
        x = 0x10000 + ((x - 0xd800) << 10) + (low - 0xdc00);
      else
        rest_ = before;
    }
    put_utf8(x >= 0xd800 && x < 0xe000 ? 0xfffd : x, out);
    return true;
  }

  static void put_utf8(uint32_t x, std::string& out) {
    const auto tail = [x](int shift) { return static_cast<char>(0x80 | ((x >> shift) & 0x3f)); };
    if (x < 0x80) {
      out += static_cast<char>(x);
    } else if (x < 0x800) {
      out += {static_cast<char>(0xc0 | (x >> 6)), tail(0)};
    } else if (x < 0x10000) {
      out += {static_cast<char>(0xe0 | (x >> 12)), tail(6), tail(0)};
    } else {
      out += {static_cast<char>(0xf0 | (x >> 18)), tail(12), tail(6), tail(0)};
    }
  }

  static int digit64(char c) noexcept {
    if (c >= 'A' && c <= 'Z')
      return c - 'A';
    if (c >= 'a' && c <= 'z')
      return c - 'a' + 26;
    if (c >= '0' && c <= '9')
      return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  }

  static bool base64(std::string_view text, std::string& out) {
    out.clear();
    if (text.size() % 4 != 0)
      return false;
    size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
      ++padding;
    for (size_t i = 0; i < text.size(); i += 4) {
      uint32_t x = 0;
      for (size_t j = i; j < i + 4; ++j) {
        const int digit = j + padding >= text.size() ? 0 : digit64(text[j]);
        if (digit < 0)
          return false;
        x = x << 6 | static_cast<uint32_t>(digit);
      }
      out += {static_cast<char>(x >> 16), static_cast<char>(x >> 8), static_cast<char>(x)};
    }
    out.resize(out.size() - padding);
    return true;
  }

  std::string_view rest_;
  bool has_log_ = false;
  bool has_stream_ = false;
  bool has_raw_ = false;
};

/// Reads `digits` decimal digits off the front.
bool number(std::string_view& text, size_t digits, int& value) noexcept {
  if (text.size() < digits)
    return false;
  value = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9')
      return false;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return true;
}

bool sign(std::string_view& text, char c) noexcept {
  if (text.empty() || text.front() != c)
    return false;
  text.remove_prefix(1);
  return true;
}

/// Minutes east of Greenwich: `Z`, `+01:00`, `-05:30`.
bool zone(std::string_view& text, int& minutes) noexcept {
  minutes = 0;
  if (sign(text, 'Z'))
    return true;
  const bool west = !text.empty() && text.front() == '-';
  int hours = 0;
  if (!sign(text, west ? '-' : '+') || !number(text, 2, hours) || !sign(text, ':') ||
      !number(text, 2, minutes))
    return false;
  minutes += hours * 60;
  minutes = west ? -minutes : minutes;
  return true;
}

} // namespace

bool parse_time(std::string_view text, int64_t& time_ns) noexcept {
  using namespace std::chrono;
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, east = 0;
  if (!number(text, 4, y) || !sign(text, '-') || !number(text, 2, mo) || !sign(text, '-') ||
      !number(text, 2, d) || !sign(text, 'T') || !number(text, 2, h) || !sign(text, ':') ||
      !number(text, 2, mi) || !sign(text, ':') || !number(text, 2, s))
    return false;
  int64_t fraction = 0;
  if (sign(text, '.')) {
    int64_t unit = 100'000'000;
    size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
      fraction += unit * (text[digits] - '0');
      unit /= 10;
    }
    if (digits == 0 || digits > 9)
      return false;
    text.remove_prefix(digits);
  }
  const year_month_day date{year(y), month(unsigned(mo)), day(unsigned(d))};
  // Nanoseconds in 64 bits end in 2262.
  if (!zone(text, east) || !text.empty() || !date.ok() || y < 1970 || y > 2261 || h > 23 ||
      mi > 59 || s > 60)
    return false;
  const auto when = sys_days(date) + hours(h) + minutes(mi - east) + seconds(s);
  time_ns = duration_cast<nanoseconds>(when.time_since_epoch()).count() + fraction;
  return true;
}

bool parse_record(std::string_view line, log_piece& out) {
  out = {};
  return record_parser(line).object(out);
}

} // namespace gantry::io
