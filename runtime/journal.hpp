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
  size_t snapshot_piece = 64u << 10;      ///< About so much of a snapshot is made in one turn.
};

/// What a recovery found, in words for the log and the start event.
struct recovery_report {
  uint64_t snapshot_seq = 0;
  uint64_t records_from_disk = 0;
  uint64_t records_from_arena = 0;
  uint64_t cut_bytes = 0;   ///< A torn tail that was cut off.
  std::string cut_where;
  /// A new epoch has begun: a first start, the host has booted since, or `lost_arena`. The
  /// caller records SupervisorStarted and, unless it is the first start, a Gap at the seam.
  bool new_epoch = false;
  /// The arena of before is gone (the keeper died) although the host has not booted: the
  /// newest records, up to `flush_delay`, may be missing. (Not so after an orderly stop, which
  /// shows in SupervisorStopping being the last record.)
  bool lost_arena = false;
  /// Records known to be missing between disk and arena (a repaired journal), 0: none. The
  /// caller records a Gap for them.
  uint64_t missing_from = 0;
  uint64_t missing_to = 0;
  /// What else an operator should know: a damaged snapshot that an older one stood in for, …
  std::vector<std::string> notes;
};

/// A snapshot in the making: the state of the moment at which this was made, whatever is recorded
/// between its pieces.
class snapshot_pieces {
public:
  virtual ~snapshot_pieces() = default;
  /// Appends about `bytes` more of it to `to`: serialized journal::Snapshots, which one behind
  /// the other are one (protobuf merges them). False: that was the last.
  virtual bool more(std::string& to, size_t bytes) = 0;
};

/// Append-only log of records in segments under DIR (`segment.SEQ`, `snapshot.SEQ`), with
/// the arena in front. `append` is a copy into the arena (no system call); the ring carries
/// it to disk in groups. A record: u32 length, u32 CRC32C, u64 seq, protobuf bytes.
class journal_file {
public:
  struct impl; ///< INTERNAL: see journal_impl.hpp.

  /// Recovers (synchronously: for the start only): feeds `snapshot` once (perhaps empty),
  /// then `record` for each later one, from disk and arena, in order. A torn tail is cut off
  /// and said; a flipped bit in the middle is data_loss that names file and offset; a
  /// newer format is unsupported.
  static result<std::unique_ptr<journal_file>>
  open(io::loop& l, io::arena a, std::string dir, std::string boot_id, journal_policy policy,
       std::function<void(journal::Snapshot)> snapshot,
       std::function<void(const journal::Record&)> record, recovery_report& report);
  ~journal_file(); ///< Only at rest: see `stop`.

  /// Gives `r` its seq, epoch and wall time (and a Creating its instance, which is that seq),
  /// and keeps it. Never waits. The record is safe
  /// against our own death when this returns, and against a power cut after `durable`.
  uint64_t append(journal::Record& r);

  /// What is appended while one of these lives survives our own death as a whole or not at
  /// all: a fact and the answer that tells of it. Dies within the turn that made it; no deed
  /// that relies on a record stands beside it.
  class together {
  public:
    explicit together(journal_file& j);
    ~together();
    together(const together&) = delete;
    together& operator=(const together&) = delete;

  private:
    impl& impl_;
  };

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
  /// Records that did not fit into the arena (the disk hangs): a death of ours would lose them.
  [[nodiscard]] uint64_t at_risk() const noexcept;
  /// Last seq of an epoch before this one, as far as the kept segments tell: what comes behind
  /// belongs to a later one.
  [[nodiscard]] uint64_t epoch_end(uint64_t epoch) const noexcept;

  /// The journal asks for a snapshot when a segment is full; the world gives it. A piece is made
  /// in each of the turns that follow. It is of the seq at which it was asked for, and nothing of
  /// it is on disk before all of it is.
  void on_snapshot(std::function<std::unique_ptr<snapshot_pieces>()> f);

  /// Reads kept records with seq > `after`, about `max_bytes`, through the ring (and from
  /// the arena for the newest). Empty = none. If `after` is older than what is kept, a Gap comes
  /// first that is not in the journal; its seq is that of the last missing record. A damaged
  /// file is data_loss. `f` is never called from inside.
  void read(uint64_t after, size_t max_bytes,
            std::function<void(result<std::vector<journal::Record>>)> f);

  /// Flushes and ends; `f` when nothing is in flight.
  void stop(std::function<void()> f);


private:
  explicit journal_file(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

} // namespace gantry::runtime
