#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace gantry::io {

// The raw format: `log.000001` holds the bytes of both streams as they came. Beside it lies
// `log.000001.idx` with one entry of 16 bytes for each write, in this machine's byte order:
//
//   uint64  end of the write in the file, times two; plus one for stderr
//   int64   when it came, nanoseconds since 1970, UTC
//
// What lies behind the last entry's end is not part of the log.

/// One entry of the index.
struct raw_entry {
  uint64_t end = 0;   ///< Byte behind the write.
  uint8_t stream = 0; ///< 0 stdout, 1 stderr.
  int64_t time_ns = 0;
};

inline constexpr size_t raw_entry_bytes = 16;

std::array<char, raw_entry_bytes> raw_entry_text(const raw_entry& x) noexcept;
raw_entry read_raw_entry(const char* from) noexcept;

/// How much of `pending` goes into a file that takes `room` more bytes: all of it, or up to the
/// end of a line, or, where a line alone is longer, what fits.
size_t raw_part(std::string_view pending, uint64_t room) noexcept;

} // namespace gantry::io
