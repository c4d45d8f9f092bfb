#include "io/log_records.hpp"

#include <chrono>
#include <cstring>

#include "io/cri_log.hpp"
#include "io/json_log.hpp"
#include "messages/check.hpp"

namespace gantry::io {

namespace {

constexpr std::string_view names[] = {"json-file", "cri", "raw"};

/// @tparam Writer Makes one record of one line, or of a piece of it.
template <class Writer>
size_t append_lines(std::string_view pending, size_t known, const record_style& style,
                    page_buffer& out, bool& full) {
  const Writer writer(style);
  size_t done = 0;
  while (done < pending.size() && out.size() < style.enough) {
    const std::string_view rest = pending.substr(done);
    const size_t skip = known > done ? known - done : 0;
    const void* newline =
      skip < rest.size() ? std::memchr(rest.data() + skip, '\n', rest.size() - skip) : nullptr;
    size_t length = rest.size(); // Of the line, its newline left out.
    if (newline != nullptr)
      length = static_cast<size_t>(static_cast<const char*>(newline) - rest.data());
    size_t take = length + (newline != nullptr ? 1 : 0);
    if (length > style.max_line)
      take = cut_before(rest, style.max_line);
    else if (newline == nullptr && !style.to_end)
      break;
    const size_t before = out.size();
    writer.put(rest.substr(0, take), out);
    if (out.size() > style.room && (done > 0 || !style.fresh)) {
      out.shrink(before);
      full = true;
      break;
    }
    done += take;
    if (length > style.max_line) // What is left of this line holds no newline, as we know.
      known = done + (length - take);
  }
  return done;
}

} // namespace

std::string_view name_of(log_format x) noexcept {
  return names[static_cast<size_t>(x)];
}

std::optional<log_format> log_format_named(std::string_view name) noexcept {
  for (const auto x : {log_format::json_file, log_format::cri, log_format::raw})
    if (name_of(x) == name)
      return x;
  return std::nullopt;
}

size_t append_records(std::string_view pending, size_t known, const record_style& style,
                      page_buffer& out, bool* full) {
  bool ignored = false;
  bool& is_full = full != nullptr ? *full : ignored;
  GANTRY_CHECK(style.format != log_format::raw);
  return style.format == log_format::cri
           ? append_lines<cri_writer>(pending, known, style, out, is_full)
           : append_lines<json_writer>(pending, known, style, out, is_full);
}

size_t cut_before(std::string_view text, size_t most) noexcept {
  if (most >= text.size())
    return text.size();
  for (size_t back = 1; back <= 3 && back < most; ++back) {
    const auto c = static_cast<uint8_t>(text[most - back]);
    if (c >= 0xc0) { // The lead byte of the last sequence: does it end in time?
      const size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
      return length > back ? most - back : most;
    }
    if (c < 0x80)
      return most;
  }
  return most;
}

bool parse_record(log_format format, std::string_view line, log_piece& out) {
  return format == log_format::cri ? parse_cri_record(line, out) : parse_record(line, out);
}

std::array<char, 30> time_text(int64_t time_ns) noexcept {
  using namespace std::chrono;
  const sys_time<nanoseconds> when{nanoseconds(time_ns)};
  const auto day = floor<days>(when);
  const year_month_day date{day};
  const hh_mm_ss<nanoseconds> clock{when - day};
  std::array<char, 30> out;
  const auto number = [&out](size_t at, size_t digits, uint64_t value) {
    for (size_t i = digits; i-- > 0; value /= 10)
      out[at + i] = static_cast<char>('0' + value % 10);
  };
  std::memcpy(out.data(), "0000-00-00T00:00:00.000000000Z", out.size());
  number(0, 4, static_cast<uint64_t>(int(date.year())));
  number(5, 2, unsigned(date.month()));
  number(8, 2, unsigned(date.day()));
  number(11, 2, static_cast<uint64_t>(clock.hours().count()));
  number(14, 2, static_cast<uint64_t>(clock.minutes().count()));
  number(17, 2, static_cast<uint64_t>(clock.seconds().count()));
  number(20, 9, static_cast<uint64_t>(clock.subseconds().count()));
  return out;
}

} // namespace gantry::io
