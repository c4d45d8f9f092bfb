#pragma once

// INTERNAL to runtime/journal*.cpp: the journal at work.
//
// One chain of requests (`step`) writes, syncs, and begins segments, one at a time, so that
// their order is the order of the code. The spare, snapshots and readers go beside it.

#include <deque>
#include <list>
#include <map>
#include <optional>

#include "io/file_ops.hpp"
#include "runtime/journal.hpp"
#include "runtime/journal_recovery.hpp"

namespace gantry::runtime {

class journal_reader;

/// The journal's parts, for the files that implement it.
struct journal_file::impl {
  impl(io::loop& l, io::arena a, std::string directory, std::string boot, journal_policy p);
  ~impl();

  // -- journal.cpp: appending, asking --
  void begin(recovered r);
  uint64_t append(journal::Record& r);
  void append_to_overflow(const journal::Record& r, size_t payload);
  void publish(size_t bytes, uint64_t seq);
  void schedule();
  void durable(std::function<void(result<void>)> f);
  [[nodiscard]] result<void> room() const;
  void stop(std::function<void()> f);

  // -- journal_flush.cpp: the chain --
  void step();
  void write_ring();
  void write_rest(size_t from, size_t bytes, uint64_t to, uint64_t to_seq);
  void wrote(uint64_t to, uint64_t to_seq);
  void write_big(); ///< A record that is larger than the whole ring.
  void drain_overflow();
  void sync();
  void all_synced();
  void rewind();
  void fail(int32_t res, std::string_view deed);
  void answer_waiters(const result<void>& how);
  void worked(); ///< The disk took something: trouble is over.
  void finish();

  // -- journal_rotate.cpp: segments, the spare, snapshots, retention --
  void open_segment(bool spare);
  void write_header(bool spare, int file);
  void begun(bool spare);
  void rotate();
  void make_spare();
  void take_snapshot();
  void pack_more();
  void write_snapshot();
  void snapshot_done(uint64_t seq, const result<void>& how);
  void retain();

  [[nodiscard]] std::string path(const std::string& name) const { return dir + "/" + name; }
  [[nodiscard]] uint64_t pending() const noexcept { return tail - flushed; }

  io::loop& loop;
  io::arena memory;
  std::string dir;
  uint64_t boot_hash;
  std::string boot_id;
  journal_policy policy;
  std::span<char> bytes; ///< The ring's memory.

  // What was appended.
  uint64_t last_seq = 0;
  uint64_t epoch = 0;
  uint64_t tail = 0;     ///< Ring position behind the last record.
  uint64_t ring_seq = 0; ///< Seq of the last record in the ring.
  int held = 0;          ///< Records belong together: the last one makes all of them be there.
  struct waiting_record {
    uint64_t seq;
    std::string frame;
  };
  std::deque<waiting_record> overflow; ///< Behind the ring, when it is full.
  uint64_t overflow_bytes = 0;
  std::string scratch; ///< For the record that crosses the ring's end.

  // What is on disk.
  std::vector<segment_info> segments;
  std::vector<uint64_t> snapshots;
  io::fd segment;
  io::fd directory;
  std::vector<io::fd> unsynced; ///< Ended segments whose content is not surely on disk.
  bool names_dirty = false;     ///< The directory has names that are not surely on disk.
  uint64_t base = 0;            ///< Ring position that is byte 0 of the segment (may wrap below 0).
  uint64_t flushed = 0;
  uint64_t flushed_seq = 0;
  uint64_t synced_seq = 0;
  uint64_t synced_to = 0; ///< Ring position of `synced_seq`'s end.

  // The chain.
  bool busy = false;
  bool wanted = false; ///< Flush now.
  io::timer flush_timer;
  io::timer retry_timer;
  io::open_op open_op;
  io::write_op write_op;
  io::sync_op sync_op;
  io::path_op name_op;
  std::string header; ///< Bytes of the header in flight.
  io::fd opening;
  std::optional<error> trouble; ///< Why the disk takes nothing now.
  bool full = false;
  struct waiter {
    uint64_t seq;
    std::function<void(result<void>)> f;
  };
  std::deque<waiter> waiters;

  // Beside it.
  bool spare_ready = false;
  bool spare_busy = false;
  io::timer spare_timer;
  io::open_op spare_open;
  io::path_op spare_op;
  io::fd spare_file;
  bool snapshot_busy = false;
  std::function<std::unique_ptr<snapshot_pieces>()> snapshot_source;
  std::unique_ptr<snapshot_pieces> pieces; ///< Of the one in the making.
  std::string packed;                      ///< What is made of it, behind the room for its header.
  uint64_t packed_seq = 0;
  uint32_t packed_crc = 0;
  size_t packed_before = 0; ///< Bytes of the one before.
  io::path_op retain_op;
  bool retain_busy = false;
  std::list<std::unique_ptr<journal_reader>> readers;
  struct place {
    uint64_t first_seq; ///< Of the segment.
    uint64_t offset;
  };
  std::map<uint64_t, place> places; ///< Where readers stopped: seq → behind it.

  bool stopping = false;
  bool ended = false;
  std::function<void()> on_stopped;
};

} // namespace gantry::runtime
