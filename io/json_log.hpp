#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/log_records.hpp"

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

/// Makes the records of one batch.
class json_writer {
public:
  explicit json_writer(const record_style& style) noexcept;

  /// Appends the record of one line, or of a piece of it.
  void put(std::string_view text, page_buffer& out) const;

private:
  char* put_usual_end(char* to) const noexcept;
  char* put_raw_end(char* to, std::string_view bytes) const noexcept;

  std::array<char, 96> end_; ///< What stands behind the text of every record of the batch.
  size_t end_size_ = 0;
};

/// Reads one record (without its newline): ours, or one that Docker wrote.
/// @returns false if it is none; `out` is undefined then.
bool parse_record(std::string_view line, log_piece& out);

/// Length of the valid UTF-8 sequence at the front of `text` (2 to 4), or 0 if there is
/// none (overlong, surrogate, too large, cut, or not a lead byte).
size_t utf8_length(std::string_view text) noexcept;

} // namespace gantry::io
