#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/arena.hpp"
#include "io/loop.hpp"
#include "messages/journal.pb.h"
#include "messages/result.hpp"

namespace gantry::runtime {

/// Version of the segment files. Newer ones are refused.
inline constexpr uint32_t journal_format = 1;

/// How the journal is kept: policy, plain data.
struct journal_policy {
  uint64_t segment_bytes = 4ull << 20;    ///< A new segment (after a snapshot) begins above.
  uint64_t keep_bytes = 64ull << 20;      ///< Older segments are removed above …
  io::nanoseconds keep_age = std::chrono::hours(24 * 7); ///< … or beyond this age.
  io::nanoseconds flush_delay = std::chrono::milliseconds(2); ///< Records wait so long for company.
  uint64_t spare_bytes = 8ull << 20;      ///< Preallocated for a full disk.
};

/// What a recovery found, in words for the log and the start event.
struct recovery_report {
  uint64_t snapshot_seq = 0;
  uint64_t records_from_disk = 0;
  uint64_t records_from_arena = 0;
  uint64_t cut_bytes = 0;   ///< A torn tail that was cut off.
  std::string cut_where;
  bool new_epoch = false;   ///< The host has booted since (or the arena is new and has no past).
  bool lost_arena = false;  ///< The arena of before is gone (keeper died): up to `flush_delay` may be missing.
};

/// Append-only log of records in segments under DIR (`segment.SEQ`, `snapshot.SEQ`), with
/// the arena in front. `append` is a copy into the arena (no system call); the ring carries
/// it to disk in groups. A record: u32 length, u32 CRC32C, u64 seq, protobuf bytes.
class journal_file {
public:
  /// Recovers (synchronously: for the start only): feeds `snapshot` once (perhaps empty),
  /// then `record` for each later one, from disk and arena, in order. A torn tail is cut off
  /// and said; a flipped bit in the middle is data_loss that names file and offset; a
  /// newer format is unsupported.
  static result<std::unique_ptr<journal_file>>
  open(io::loop& l, io::arena a, std::string dir, std::string boot_id, journal_policy policy,
       std::function<void(journal::Snapshot)> snapshot,
       std::function<void(const journal::Record&)> record, recovery_report& report);
  ~journal_file(); ///< Only at rest: see `stop`.

  /// Gives `r` its seq, epoch and wall time, and keeps it. Never waits. The record is safe
  /// against our own death when this returns, and against a power cut after `durable`.
  uint64_t append(journal::Record& r);

  /// Calls `f` once everything appended so far is on disk (fdatasync), or with the error
  /// that keeps it from there.
  void durable(std::function<void(result<void>)> f);

  /// Whether creates may go on: false when the disk is full or the arena half full.
  [[nodiscard]] result<void> room() const;

  [[nodiscard]] uint64_t last_seq() const noexcept;
  [[nodiscard]] uint64_t first_kept_seq() const noexcept; ///< Of the oldest segment.
  [[nodiscard]] uint64_t epoch() const noexcept;
  [[nodiscard]] uint64_t pending_bytes() const noexcept;
  [[nodiscard]] uint64_t disk_bytes() const noexcept;
  [[nodiscard]] bool disk_full() const noexcept;

  /// The journal asks for a snapshot when a segment is full; the world gives it.
  void on_snapshot(std::function<journal::Snapshot()> f);

  /// Reads kept records with seq > `after`, about `max_bytes`, through the ring (and from
  /// the arena for the newest). Empty = none. Gap first if `after` is older than what is kept.
  void read(uint64_t after, size_t max_bytes,
            std::function<void(result<std::vector<journal::Record>>)> f);

  /// Flushes and ends; `f` when nothing is in flight.
  void stop(std::function<void()> f);

private:
  struct impl;
  explicit journal_file(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

} // namespace gantry::runtime
