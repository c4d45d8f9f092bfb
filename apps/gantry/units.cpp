#include "apps/gantry/units.hpp"

#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace gantry::cli {

namespace {

__extension__ typedef __int128 int128; // Decimals of any 64-bit size, without rounding.

constexpr int64_t billion = 1'000'000'000;
constexpr int128 most_billionths = int128(INT64_MAX) * billion;

error is_not(std::string_view what, std::string_view text, std::string_view right) {
  return {ec::invalid_argument, "\"" + printable(text) + "\" is not " + std::string(what),
          "write " + std::string(right)};
}

/// A decimal number at the head of `text` in billionths, exact; cuts it off `text`.
/// Nothing when there is none, it has more than nine decimals, or it is too large.
std::optional<int128> take_decimal(std::string_view& text) {
  size_t i = 0;
  int128 value = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    value = value * 10 + (text[i] - '0');
    if (i > 18)
      return {};
  }
  if (i == 0)
    return {};
  value *= billion;
  if (i < text.size() && text[i] == '.') {
    const size_t dot = i++;
    int128 weight = billion / 10;
    for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, weight /= 10) {
      if (weight == 0)
        return {};
      value += weight * (text[i] - '0');
    }
    if (i == dot + 1)
      return {};
  }
  text.remove_prefix(i);
  return value;
}

std::optional<int> shift_of(std::string_view unit) {
  struct row {
    char letter;
    int shift;
  };
  constexpr std::array rows{row{'k', 10}, row{'m', 20}, row{'g', 30}, row{'t', 40}};
  const auto lower = [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); };
  if (unit.empty() || (unit.size() == 1 && lower(unit[0]) == 'b'))
    return 0;
  for (const auto& r : rows) {
    if (lower(unit[0]) != r.letter)
      continue;
    std::string rest;
    for (char c : unit.substr(1))
      rest.push_back(lower(c));
    if (rest.empty() || rest == "b" || rest == "ib")
      return r.shift;
  }
  return {};
}

std::optional<int64_t> unit_ns(std::string_view& text) {
  struct row {
    std::string_view name;
    int64_t ns;
  };
  constexpr std::array rows{
    row{"ns", 1},      row{"us", 1'000},       row{"ms", 1'000'000},
    row{"s", billion}, row{"m", 60 * billion}, row{"h", 3600 * billion},
  };
  for (const auto& r : rows)
    if (text.starts_with(r.name)) {
      text.remove_prefix(r.name.size());
      return r.ns;
    }
  return {};
}

/// So many digits behind the character `before` (if any), cut off `text`; -1 where they are not.
int take_digits(std::string_view& text, char before, size_t digits, int most) {
  const size_t skip = before == '\0' ? 0 : 1;
  if (text.size() < skip + digits || (skip == 1 && text[0] != before))
    return -1;
  int value = 0;
  const char* begin = text.data() + skip;
  const auto [end, fault] = std::from_chars(begin, begin + digits, value);
  if (fault != std::errc() || end != begin + digits || value < 0 || value > most)
    return -1;
  text.remove_prefix(skip + digits);
  return value;
}

/// Seconds east of UTC: `Z`, `+02:00`, or nothing.
std::optional<int64_t> take_zone(std::string_view text) {
  if (text.empty() || text == "Z")
    return 0;
  const int sign = text[0] == '-' ? -1 : 1;
  const int hours = take_digits(text, sign < 0 ? '-' : '+', 2, 23);
  const int minutes = take_digits(text, ':', 2, 59);
  if (hours < 0 || minutes < 0 || !text.empty())
    return {};
  return sign * (int64_t{hours} * 3600 + int64_t{minutes} * 60);
}

} // namespace

result<int64_t> parse_size(std::string_view text) {
  constexpr std::string_view right = "64m, 1.5g or 4096 (k, m, g, t: powers of 1024)";
  std::string_view rest = text;
  const auto value = take_decimal(rest);
  const auto shift = shift_of(rest);
  if (!value || !shift)
    return is_not("a size", text, right);
  if (*value > most_billionths >> *shift)
    return is_not("a size that exists", text, right);
  return static_cast<int64_t>((*value << *shift) / billion);
}

result<int64_t> parse_limit(std::string_view text) {
  if (text == "-1")
    return int64_t{-1};
  return parse_size(text);
}

result<int64_t> parse_duration(std::string_view text) {
  constexpr std::string_view right = "10, 2.5s, 500ms or 1m30s";
  std::string_view rest = text;
  int128 sum = 0;
  if (rest.empty())
    return is_not("a duration", text, right);
  for (bool first = true; !rest.empty(); first = false) {
    const auto value = take_decimal(rest);
    if (!value)
      return is_not("a duration", text, right);
    auto unit = unit_ns(rest);
    if (!unit && first && rest.empty())
      unit = billion; // A bare number: seconds.
    if (!unit)
      return is_not("a duration", text, right);
    if (*value > most_billionths / *unit)
      return is_not("a duration that ends", text, right);
    sum += *value * *unit / billion;
    if (sum > INT64_MAX)
      return is_not("a duration that ends", text, right);
  }
  return static_cast<int64_t>(sum);
}

result<int64_t> parse_pause(std::string_view text) {
  auto ns = parse_duration(text);
  if (ns && *ns <= 0)
    return error{ec::invalid_argument, "\"" + printable(text) + "\" is no time to wait",
                 "use a duration above 0: 500ms, 2s, 1m"};
  return ns;
}

result<int64_t> parse_time(std::string_view text, int64_t now) {
  const error wrong = is_not("a time", text, "2026-01-31T12:00:00Z, or 10m for so long ago");
  if (text.size() < 10 || text[4] != '-') {
    const auto ago = parse_duration(text);
    return ago ? result<int64_t>(now - *ago) : result<int64_t>(wrong);
  }
  std::string_view rest = text;
  tm parts{};
  parts.tm_year = take_digits(rest, '\0', 4, 2261) - 1900;
  parts.tm_mon = take_digits(rest, '-', 2, 12) - 1;
  parts.tm_mday = take_digits(rest, '-', 2, 31);
  if (parts.tm_year < 70 || parts.tm_mon < 0 || parts.tm_mday < 1)
    return wrong;
  std::optional<int128> fraction = int128{0};
  if (!rest.empty()) {
    parts.tm_hour = take_digits(rest, 'T', 2, 23);
    parts.tm_min = take_digits(rest, ':', 2, 59);
    parts.tm_sec = take_digits(rest, ':', 2, 60);
    if (parts.tm_hour < 0 || parts.tm_min < 0 || parts.tm_sec < 0)
      return wrong;
    if (rest.starts_with('.')) {
      const std::string decimal = "0" + std::string(rest);
      std::string_view digits = decimal;
      fraction = take_decimal(digits);
      if (!fraction)
        return wrong;
      rest = rest.substr(rest.size() - digits.size());
    }
  }
  const auto offset = take_zone(rest);
  if (!offset)
    return wrong;
  return (int64_t{::timegm(&parts)} - *offset) * billion + static_cast<int64_t>(*fraction);
}

int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return int64_t{t.tv_sec} * billion + t.tv_nsec;
}

result<int64_t> parse_cpus(std::string_view text) {
  std::string_view rest = text;
  const auto value = take_decimal(rest);
  if (!value || !rest.empty() || *value == 0 || *value > int128(1'000'000) * billion)
    return is_not("a number of CPUs", text, "1, 0.5 or 1.5");
  return static_cast<int64_t>(*value);
}

result<int64_t> parse_number(std::string_view text, int64_t least, int64_t most) {
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return is_not("a number", text, "one from " + std::to_string(least) + " on");
  return value;
}

result<std::pair<std::string, std::string>> parse_pair(std::string_view text) {
  const size_t at = text.find('=');
  if (at == std::string_view::npos || at == 0)
    return is_not("KEY=VALUE", text, "KEY=VALUE");
  return std::pair{std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

result<cursor_text> parse_cursor(std::string_view text) {
  constexpr std::string_view right = "EPOCH:SEQ as events print it, SEQ, or 0 for all that is kept";
  cursor_text out;
  const auto number = [](std::string_view t, uint64_t& to) {
    const auto [end, fault] = std::from_chars(t.data(), t.data() + t.size(), to);
    return fault == std::errc() && end == t.data() + t.size();
  };
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    uint64_t epoch = 0;
    if (!number(text.substr(0, colon), epoch))
      return is_not("a cursor", text, right);
    out.epoch = epoch;
    text.remove_prefix(colon + 1);
  }
  if (!number(text, out.seq))
    return is_not("a cursor", text, right);
  return out;
}

std::string size_text(uint64_t bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit)
    value /= 1024;
  std::array<char, 32> text{};
  const int decimals = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  std::string out = text.data();
  if (out.find('.') != std::string::npos) {
    while (out.back() == '0')
      out.pop_back();
    if (out.back() == '.')
      out.pop_back();
  }
  return out + units[unit];
}

std::string age_text(int64_t ns) {
  struct row {
    int64_t below;
    int64_t unit;
    std::string_view name;
  };
  constexpr int64_t minute = 60, hour = 3600, day = 24 * hour, week = 7 * day, month = 30 * day;
  constexpr int64_t year = 365 * day;
  constexpr std::array rows{
    row{minute, 1, "seconds"},     row{hour, minute, "minutes"},  row{2 * day, hour, "hours"},
    row{2 * week, day, "days"},    row{2 * month, week, "weeks"}, row{2 * year, month, "months"},
    row{INT64_MAX, year, "years"},
  };
  const int64_t s = ns / billion;
  if (s < 1)
    return "Less than a second";
  if (s == 1)
    return "1 second";
  if (s >= minute && s < 2 * minute)
    return "About a minute";
  if (s >= hour && s < 2 * hour)
    return "About an hour";
  for (const auto& r : rows)
    if (s < r.below)
      return std::to_string(s / r.unit) + " " + std::string(r.name);
  return {};
}

std::string short_duration(uint64_t ns) {
  std::array<char, 32> text{};
  const double s = static_cast<double>(ns) / 1e9;
  const auto seconds = static_cast<unsigned long long>(s);
  if (ns < 1'000'000)
    std::snprintf(text.data(), text.size(), "%.0fµs", s * 1e6);
  else if (ns < 1'000'000'000)
    std::snprintf(text.data(), text.size(), "%.0fms", s * 1e3);
  else if (ns < 60'000'000'000)
    std::snprintf(text.data(), text.size(), "%.2fs", s);
  else
    std::snprintf(text.data(), text.size(), "%llum%02llus", seconds / 60, seconds % 60);
  return text.data();
}

std::string time_text(int64_t ns) {
  int64_t seconds = ns / billion;
  int64_t rest = ns % billion;
  if (rest < 0) {
    rest += billion;
    --seconds;
  }
  const time_t t = seconds;
  tm parts{};
  ::gmtime_r(&t, &parts);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ",
                parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                parts.tm_sec, static_cast<int>(rest));
  return text.data();
}

std::string signal_text(int signal) {
  if (const char* name = ::sigabbrev_np(signal))
    return std::string("SIG") + name;
  if (signal >= SIGRTMIN && signal <= SIGRTMAX)
    return "SIGRTMIN+" + std::to_string(signal - SIGRTMIN);
  return "signal " + std::to_string(signal);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // C1 controls are 0xC2 0x80..0x9F in UTF-8: some terminals obey them as well.
    const bool c1 = c == 0xc2 && i + 1 < text.size() &&
                    static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                    static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c < 0x20 || c == 0x7f || c1) {
      out.push_back(c == '\t' || c == '\n' ? ' ' : '?');
      i += c1 ? 1 : 0;
    } else {
      out.push_back(static_cast<char>(c));
    }
  }
  return out;
}

} // namespace gantry::cli
