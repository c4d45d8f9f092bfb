#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "messages/journal.pb.h"
#include "messages/result.hpp"

// What the journal's files look like: pure functions over bytes, shared by the daemon's
// recovery, the offline reader and the fuzzers. All numbers are little-endian as written by
// the host (x86-64, arm64).
//
//   segment.SEQ    segment_header, then records until the end of the file
//   snapshot.SEQ   snapshot_header, then one serialized journal::Snapshot
//   a record       u32 bytes of the payload, u32 CRC-32C of seq and payload, u64 seq, payload
//
// A record header of zeros ends a segment: that is what preallocated space looks like.

namespace gantry::runtime {

inline constexpr uint64_t segment_magic = 0x67657372746e6721;  // "!gntrseg"
inline constexpr uint64_t snapshot_magic = 0x70616e73746e6721; // "!gntsnap"
inline constexpr size_t segment_header_bytes = 48;
inline constexpr size_t snapshot_header_bytes = 32;
inline constexpr size_t record_header_bytes = 16;

/// The largest payload: a longer length is damage. (A request on the bus is smaller.)
inline constexpr uint32_t max_record_bytes = 64u << 20;

/// What stands at the head of a segment.
struct segment_header {
  uint32_t version = 0;
  uint64_t first_seq = 0;
  uint64_t epoch = 0;
  uint64_t boot_hash = 0;  ///< `hash_boot_id` of the boot in which it was begun.
  int64_t created_ns = 0;  ///< Wall time of its beginning, for the retention by age.
};

/// What stands at the head of a snapshot.
struct snapshot_header {
  uint32_t version = 0;
  uint64_t seq = 0;
};

std::string segment_name(uint64_t first_seq);
std::string snapshot_name(uint64_t seq);
/// The number in `segment.N` or `snapshot.N`; empty for any other name.
std::optional<uint64_t> number_in(std::string_view name, std::string_view prefix);

/// FNV-1a; tells one boot from the next.
uint64_t hash_boot_id(std::string_view boot_id) noexcept;

std::array<char, segment_header_bytes> encode(const segment_header& h) noexcept;
std::array<char, snapshot_header_bytes> encode(const snapshot_header& h, size_t payload_bytes,
                                               uint32_t payload_crc) noexcept;

/// Errors name `file`: data_loss, or unsupported for a version above ours.
result<segment_header> decode_segment_header(std::span<const char> bytes, std::string_view file);
result<journal::Snapshot> decode_snapshot(std::span<const char> bytes, std::string_view file);

/// Writes the 16 bytes before a payload that lies at `to + record_header_bytes`.
void seal_record(char* to, uint32_t payload_bytes, uint64_t seq) noexcept;

/// One record in place.
struct framed {
  uint64_t seq = 0;
  std::span<const char> payload;
  size_t bytes = 0; ///< With its header.
};

/// What stands at the beginning of `at`.
struct frame_result {
  enum class kind_t : uint8_t {
    record,  ///< A whole and valid record.
    end,     ///< Nothing: no bytes, or zeros.
    partial, ///< The bytes end within a record.
    damaged, ///< The length or the CRC is wrong.
  } kind = kind_t::end;
  framed record;
};
frame_result read_frame(std::span<const char> at) noexcept;

/// Looks for the next whole record with a seq in (after, after + 2^32) behind damage.
/// @returns its offset in `bytes` at or behind `from`.
std::optional<size_t> find_next_record(std::span<const char> bytes, size_t from, uint64_t after);

/// How the walk over a segment's records ended.
struct segment_end {
  enum class kind_t : uint8_t {
    clean,   ///< At the end of the file, or at preallocated zeros with nothing behind.
    torn,    ///< Within a record, and no record follows.
    damaged, ///< At bytes that are no record, and `resume` shows that records follow; or
             ///< `what` says that a valid frame does not hold a record of ours.
  } kind = kind_t::clean;
  size_t offset = 0; ///< End of the last good record.
  size_t resume = 0; ///< Where records go on, 0 if they do not.
  bool hole = false; ///< The bad place begins with zeros: never written, rather than damaged.
  uint64_t last_seq = 0;
  std::string what;
};

/// Walks the records of a segment (`bytes` with its header, already checked). `f` gets the
/// record, and the offset behind it.
segment_end walk_records(std::span<const char> bytes, size_t from, uint64_t after,
                         const std::function<void(const journal::Record&, size_t)>& f);

} // namespace gantry::runtime
