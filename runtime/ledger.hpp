#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/journal.hpp"
#include "runtime/world.hpp"

namespace gantry::runtime {

class event_feed;

/// Journal, world and feeds as one: the only way to change what is true. First the record
/// is kept (arena), then the world changes, then the feeds are told.
class ledger {
public:
  ledger(io::loop& l, std::unique_ptr<journal_file> j, std::unique_ptr<world> w);
  ~ledger();

  /// Records `r`; returns its seq. See `journal_file::append`. Fills in what only the world
  /// knows: the labels of a Created, the pid of init where a record is about a whole container.
  uint64_t record(journal::Record& r);

  /// See `journal_file::together`.
  [[nodiscard]] journal_file::together together() { return journal_file::together(*journal_); }

  [[nodiscard]] journal_file& file() noexcept { return *journal_; }
  [[nodiscard]] class world& now() noexcept { return *world_; }

  /// Called for each record after the world changed (actors that wait for an exit, say), in
  /// the order of the records: what a watch itself records is told after this one. Returns a
  /// handle; destroy it to stop.
  class watch;
  [[nodiscard]] std::unique_ptr<watch> on_record(std::function<void(const journal::Record&)> f);

  /// Feeds that were given a gap so far.
  [[nodiscard]] uint64_t gaps() const noexcept { return gaps_; }

  /// Flushes; `f` when nothing is in flight.
  void stop(std::function<void()> f) { journal_->stop(std::move(f)); }

private:
  friend class event_feed;
  friend class watch;
  /// A public record's event, serialized: lean, and all that a feed needs.
  struct kept_event {
    uint64_t seq = 0;
    std::string bytes;
  };
  void fill_in(journal::Record& r) const;
  void keep(const journal::Record& r);
  void tell_watches(const journal::Record& r);
  void wake_soon();
  void wake_feeds();

  io::loop& loop_;
  std::unique_ptr<journal_file> journal_;
  std::unique_ptr<class world> world_;
  std::deque<kept_event> recent_; ///< The newest public events, bounded.
  size_t recent_bytes_ = 0;
  uint64_t recent_floor_ = 0; ///< Every public record behind this one is in `recent_`.
  std::vector<watch*> watches_; ///< In the order of their registration; null: gone meanwhile.
  std::vector<event_feed*> feeds_;
  size_t probe_feeds_ = 0; ///< Of these, who wants runs of probes as well.
  std::deque<journal::Record> untold_; ///< Recorded by a watch: told when its turn comes.
  bool telling_ = false;
  bool wake_posted_ = false;
  uint64_t gaps_ = 0;
  std::shared_ptr<bool> alive_; ///< Posted calls look here first.
};

/// One registration of `ledger::on_record`; dies before its ledger.
class ledger::watch {
public:
  watch(ledger& l, std::function<void(const journal::Record&)> f);
  ~watch();
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;

private:
  friend class ledger;
  ledger& ledger_;
  std::function<void(const journal::Record&)> f_;
};

/// One reader of the events: pull, so that a slow reader costs a cursor and no memory.
///
/// Where it begins: with `list`, at the list, which is taken at the first `next` (a `since`
/// beside it is not looked at); at `since`; else at the moment of the construction. A cursor
/// that is older than what is kept, or of another epoch, gets one gap event first (details
/// `from`, `to`, `reason`), then all that is kept behind it; such a gap is counted in
/// `ledger::gaps`. A cursor of the future is invalid_argument.
class event_feed {
public:
  event_feed(ledger& l, v1::FollowRequest what);
  ~event_feed(); ///< Dies before its ledger.

  /// The next items (list first, then events after the cursor), at most about `max_bytes`.
  /// `f` gets an empty vector when a non-following feed has come to its end; a following
  /// one waits. One call at a time; never called from inside.
  void next(size_t max_bytes, std::function<void(result<std::vector<v1::FollowItem>>)> f);

  struct impl; ///< INTERNAL: see event_feed_impl.hpp.

private:
  friend class ledger;
  std::shared_ptr<impl> impl_;
};

} // namespace gantry::runtime
