#pragma once

#include <array>
#include <string_view>

#include "io/log_records.hpp"

// The record format that Kubernetes reads: one line for each line of output, or piece of one.
//
//   2026-11-25T22:40:00.123456789Z stdout F text
//
// F: the text ended with a newline, which is left out. P: it did not, and what follows in the
// stream belongs to the same line (a line that was too long, or the last words before the end
// of file). The bytes stand as they were written, so every stream can be read back exactly.

namespace gantry::io {

/// Makes the records of one batch.
class cri_writer {
public:
  explicit cri_writer(const record_style& style) noexcept;

  /// Appends the record of one line, or of a piece of it.
  void put(std::string_view text, page_buffer& out) const;

private:
  std::array<char, 40> begin_; ///< Time, stream, tag; all of one length.
};

/// Reads one record (without its newline). @returns false if it is none.
bool parse_cri_record(std::string_view line, log_piece& out);

} // namespace gantry::io
