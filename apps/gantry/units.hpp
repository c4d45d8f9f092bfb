#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "messages/result.hpp"

namespace gantry::cli {

// What a person types, strictly: each error says what was typed and what would be right.

/// Bytes: `4096`, `64m`, `1.5g`, `512KiB`; k, m, g, t are powers of 1024.
result<int64_t> parse_size(std::string_view text);

/// As `parse_size`, and `-1` for "no limit".
result<int64_t> parse_limit(std::string_view text);

/// Nanoseconds: `10` and `2.5` are seconds; `500ms`, `90s`, `1m30s`, `1h`.
result<int64_t> parse_duration(std::string_view text);
/// The same, and not 0.
result<int64_t> parse_pause(std::string_view text);

/// Nanoseconds since 1970: RFC 3339 (`2026-01-31`, `2026-01-31T12:00:00.5Z`, `…+02:00`), or a
/// duration before `now`: `10m`.
result<int64_t> parse_time(std::string_view text, int64_t now);

/// The time of day, in nanoseconds since 1970.
int64_t now_ns();

/// CPUs in billionths: `1.5` is 1500000000.
result<int64_t> parse_cpus(std::string_view text);

/// A whole number from `least` to `most`, decimal.
result<int64_t> parse_number(std::string_view text, int64_t least, int64_t most);

/// `key=value`, the key not empty.
result<std::pair<std::string, std::string>> parse_pair(std::string_view text);

/// `EPOCH:SEQ`; without `EPOCH:` the epoch is absent; `0` is all that is kept.
struct cursor_text {
  std::optional<uint64_t> epoch;
  uint64_t seq = 0;
};
result<cursor_text> parse_cursor(std::string_view text);

// What a person reads.

/// `512B`, `64MiB`, `1.5GiB`.
std::string size_text(uint64_t bytes);

/// `3 seconds`, `About a minute`, `5 days`: as docker's `ps` says it.
std::string age_text(int64_t ns);

/// `1.24s`, `312ms`: a CPU time or the like.
std::string short_duration(uint64_t ns);

/// RFC 3339 in UTC with nine decimals: `2026-01-31T12:00:00.000000001Z`.
std::string time_text(int64_t ns);

/// `SIGKILL`, `SIGRTMIN+3`, or the number of one that has no name.
std::string signal_text(int signal);

/// `text` without control characters, so that no container can steer a terminal.
std::string printable(std::string_view text);

} // namespace gantry::cli
