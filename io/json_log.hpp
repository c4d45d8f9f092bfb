#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/log_reader.hpp"
#include "io/page_buffer.hpp"

// The record format of a log: one JSON object a line, as Docker's json-file driver writes
// and reads it.
//
//   {"log":"text\n","stream":"stdout","time":"2026-11-25T22:40:00.123456789Z"}
//
// `log` ends with \n where the line did; a record without it is a piece of a line that was
// too long, or the last words before the end of file: readers join by putting the pieces
// of a stream behind each other. Escaped are the control characters, the quote, the
// backslash, U+2028 and U+2029. Bytes that are no UTF-8 stand in `log` as \ufffd, one for
// each byte, and the record has one more field, which other readers ignore:
//
//   "raw":"<base64 of the exact bytes>"
//
// So every stream can be read back byte for byte.

namespace gantry::io {

/// What a record is made of besides its bytes.
struct record_style {
  uint8_t stream = 0;         ///< 0 stdout, 1 stderr.
  int64_t time_ns = 0;        ///< Since 1970, UTC.
  size_t max_line = 1u << 20; ///< Longer lines are cut into several records.
  size_t enough = 512u << 10; ///< No further record is begun once there are so many bytes.
  bool to_end = false;        ///< An unfinished last line becomes a record, too.
};

/// Appends the records of the whole lines in `pending`: a pure function of its arguments.
/// @param known How many bytes at the front are known to hold no newline (0 if unsure).
/// @returns how many bytes of `pending` the records hold.
size_t append_records(std::string_view pending, size_t known, const record_style& style,
                      page_buffer& out);

/// Where to cut a text that may have `most` bytes: there, or up to three bytes before, so
/// that no UTF-8 sequence is cut.
size_t cut_before(std::string_view text, size_t most) noexcept;

/// Reads one record (without its newline): ours, or one that Docker wrote.
/// @returns false if it is none; `out` is undefined then.
bool parse_record(std::string_view line, log_piece& out);

/// `2026-11-25T22:40:00.123456789Z`, always 30 characters.
std::array<char, 30> time_text(int64_t time_ns) noexcept;

/// The time in an RFC 3339 text with up to nine decimals.
bool parse_time(std::string_view text, int64_t& time_ns) noexcept;

/// Length of the valid UTF-8 sequence at the front of `text` (2 to 4), or 0 if there is
/// none (overlong, surrogate, too large, cut, or not a lead byte).
size_t utf8_length(std::string_view text) noexcept;

} // namespace gantry::io
