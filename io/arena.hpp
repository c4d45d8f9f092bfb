#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace gantry::io {

// The arena: a memfd that the keeper holds and gantryd maps. What must outlive gantryd at
// any instruction lies here. Layout version 2; every struct is fixed in size and checked.
//
//   header | dead table | log slots | journal ring | small blocks | large blocks
//
// Only the pages that were touched take memory. All numbers are native-endian: the arena
// never leaves the machine and never outlives the boot.

inline constexpr uint32_t arena_version = 2;
inline constexpr uint64_t arena_magic = 0x616e657261746e67; // "gntarena"

/// One dead child of the keeper. The keeper fills a free entry and sets `full`; gantryd
/// reads it, records the death in the journal, and only then sets `full` back to 0.
struct dead_entry {
  std::atomic<uint32_t> full; ///< 0 free, 1 full.
  int32_t pid;
  uint64_t start_ticks; ///< Field 22 of /proc/PID/stat.
  int32_t status;       ///< Raw wait status.
  uint32_t max_rss_kib; ///< Peak of its resident memory; 0 where nobody could tell.
  int64_t realtime_ns;  ///< When the keeper reaped it.
};
static_assert(sizeof(dead_entry) == 32);

/// Where a log stands: a pure value. Two copies and an index make its change one store.
struct log_position {
  uint64_t file_seq;     ///< Number of the file being written.
  uint64_t file_offset;  ///< Its size: where the next record goes.
  uint64_t index_offset; ///< Size of its index (raw format).
  int64_t born_ns;       ///< Time of its first record.
  uint64_t bytes[2];     ///< Stream bytes that the log holds, [0] stdout, [1] stderr.
  uint64_t dropped[2];   ///< Stream bytes given up by a policy, counted.
  uint32_t head[2];      ///< Unfinished line in the stream's block: where it begins …
  uint32_t tail[2];      ///< … and how long it is.
  int32_t block[2];      ///< Block index, -1 none; large blocks are numbered behind the small.
  int64_t time_ns;       ///< Arrival time of the batch.
  uint64_t nonce[2];     ///< Of a terminal: lies where the batch comes to; still there = not read.
  uint32_t batch_bytes;  ///< 0: no batch. Else at most so many are taken from …
  uint32_t staged;       ///< 0: not known yet. Else so many were, and came into the stage.
  uint8_t batch_stream;  ///< … this stream.
  uint8_t closed[2];     ///< The stream has come to its end.
  uint8_t flush;         ///< The batch also ends an unfinished line (end of file, or too long).
  uint8_t discard_stream;
  uint8_t skip[2];       ///< 1: the next batch begins within a line that is given up; 2: this one.
  uint8_t by_nonce;      ///< The batch is a terminal's, which has no way through the stage.
  uint32_t discard_bytes; ///< 0: none. Else at most so many are being thrown away.
};

/// One log: the two output streams of one process.
struct alignas(64) log_slot {
  std::atomic<uint64_t> serial; ///< Process serial (from the journal); 0 = free.
  std::atomic<uint32_t> now;    ///< Which of `at` is valid.
  uint32_t reserved;
  std::atomic<uint64_t> stdin_taken; ///< Input bytes that were, or may have been, written.
  log_position at[2];
  std::atomic<uint64_t> relayed[2]; ///< Stream bytes that were, or may have been, written to the
                                    ///< client's FIFO.
};
static_assert(sizeof(log_slot) == 320);

/// The journal ring: records that are not on disk yet. Positions only grow; the place in
/// the ring is position modulo size.
struct alignas(64) journal_ring {
  std::atomic<uint64_t> tail;    ///< End of the last whole record.
  std::atomic<uint64_t> flushed; ///< Up to here the segment file has it.
  std::atomic<uint64_t> segment; ///< First sequence number of the segment being written.
  std::atomic<uint64_t> segment_base; ///< Ring position at which that segment began.
};

/// The sizes, fixed when the arena is made.
struct arena_shape {
  uint32_t dead_entries = 4096;
  uint32_t log_slots = 4096;
  uint32_t journal_bytes = 4u << 20;
  uint32_t small_block_bytes = 64u << 10;
  uint32_t small_blocks = 1024;
  uint32_t large_block_bytes = (1u << 20) + (256u << 10); ///< A line of 1 MiB and a read.
  uint32_t large_blocks = 32;
};

struct alignas(64) arena_header {
  uint64_t magic;
  uint32_t version;
  uint32_t reserved;
  arena_shape shape;
  char boot_id[40];                 ///< Of /proc/sys/kernel/random/boot_id.
  std::atomic<uint64_t> generation; ///< Times that gantryd was started on it.
  std::atomic<int32_t> last_status; ///< Raw wait status of the gantryd before, -1 if none.
  std::atomic<int32_t> keeper_pid;
  std::atomic<uint32_t> dead_overflow; ///< The keeper left zombies: the table was full.
  /// Places of the dead table that the keeper has gone past, filled or not; only grows. The
  /// next place is this modulo the table's size, so a reader that remembers where it was
  /// looks only at what is new. Written after the entry itself.
  std::atomic<uint64_t> dead_position;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

/// A view of a mapped arena: finds the parts, owns nothing. Both sides use it.
class arena {
public:
  arena() = default;

  /// Bytes that an arena of this shape takes; 0 for a shape that cannot be.
  static size_t size_for(const arena_shape& shape) noexcept;

  /// Writes the header into zeroed memory (the keeper, or a library without a keeper).
  /// Empty view if the memory is too small or not aligned to 64 bytes.
  static arena make(std::span<std::byte> memory, const arena_shape& shape,
                    const char* boot_id) noexcept;

  /// Looks at an existing one. Empty view if magic, version or size do not fit.
  static arena open(std::span<std::byte> memory) noexcept;

  [[nodiscard]] explicit operator bool() const noexcept { return base_ != nullptr; }
  [[nodiscard]] arena_header& header() const noexcept;
  [[nodiscard]] std::span<dead_entry> dead() const noexcept;
  [[nodiscard]] std::span<log_slot> logs() const noexcept;
  [[nodiscard]] journal_ring& journal() const noexcept;
  [[nodiscard]] std::span<char> journal_bytes() const noexcept;
  /// Memory of a block; `index` counts the small ones, then the large ones.
  [[nodiscard]] std::span<char> block(int32_t index) const noexcept;
  [[nodiscard]] int32_t block_count() const noexcept;
  [[nodiscard]] bool is_large(int32_t index) const noexcept;

private:
  explicit arena(std::byte* base) noexcept : base_(base) {}

  std::byte* base_ = nullptr;
};

} // namespace gantry::io
