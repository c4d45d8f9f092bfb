#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/log_reader.hpp"
#include "io/page_buffer.hpp"

// Records of the formats that have lines: json-file (io/json_log.hpp) and cri (io/cri_log.hpp).
// The raw format has none: see io/raw_log.hpp.

namespace gantry::io {

/// `json-file`, `cri`, `raw`.
std::string_view name_of(log_format x) noexcept;
std::optional<log_format> log_format_named(std::string_view name) noexcept;

/// What a record is made of besides its bytes.
struct record_style {
  uint8_t stream = 0;         ///< 0 stdout, 1 stderr.
  int64_t time_ns = 0;        ///< Since 1970, UTC.
  size_t max_line = 1u << 20; ///< Longer lines are cut into several records.
  size_t enough = 512u << 10; ///< No further record is begun once there are so many bytes.
  bool to_end = false;        ///< An unfinished last line becomes a record, too.
  size_t room = SIZE_MAX;     ///< So many bytes the file may still take.
  bool fresh = false;         ///< The file is empty: one record goes in, whatever its size.
  log_format format = log_format::json_file; ///< Not raw.
};

/// Appends the records of the whole lines in `pending`: a pure function of its arguments.
/// @param known How many bytes at the front are known to hold no newline (0 if unsure).
/// @param full Set when the next record does not go into the file any more.
/// @returns how many bytes of `pending` the records hold.
size_t append_records(std::string_view pending, size_t known, const record_style& style,
                      page_buffer& out, bool* full = nullptr);

/// Where to cut a text that may have `most` bytes: there, or up to three bytes before, so
/// that no UTF-8 sequence is cut.
size_t cut_before(std::string_view text, size_t most) noexcept;

/// Reads one record (without its newline).
/// @returns false if it is none; `out` is undefined then.
bool parse_record(log_format format, std::string_view line, log_piece& out);

/// `2026-11-25T22:40:00.123456789Z`, always 30 characters.
std::array<char, 30> time_text(int64_t time_ns) noexcept;

/// The time in an RFC 3339 text with up to nine decimals.
bool parse_time(std::string_view text, int64_t& time_ns) noexcept;

} // namespace gantry::io
