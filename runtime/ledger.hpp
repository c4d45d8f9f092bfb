#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>

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

  /// Records `r`; returns its seq. See `journal_file::append`.
  uint64_t record(journal::Record& r);

  [[nodiscard]] journal_file& file() noexcept { return *journal_; }
  [[nodiscard]] class world& now() noexcept { return *world_; }

  /// Called for each record after the world changed (actors that wait for an exit, say).
  /// Returns a handle; destroy it to stop.
  class watch;
  [[nodiscard]] std::unique_ptr<watch> on_record(std::function<void(const journal::Record&)> f);

  /// Feeds that were given a gap so far.
  [[nodiscard]] uint64_t gaps() const noexcept { return gaps_; }

  /// Flushes; `f` when nothing is in flight.
  void stop(std::function<void()> f) { journal_->stop(std::move(f)); }

private:
  friend class event_feed;
  io::loop& loop_;
  std::unique_ptr<journal_file> journal_;
  std::unique_ptr<world> world_;
  std::deque<journal::Record> recent_; ///< The newest public records, bounded.
  std::set<watch*> watches_;
  std::set<event_feed*> feeds_;
  uint64_t gaps_ = 0;
};

/// One reader of the events: pull, so that a slow reader costs a cursor and no memory.
class event_feed {
public:
  event_feed(ledger& l, v1::FollowRequest what);
  ~event_feed();

  /// The next items (list first, then events after the cursor), at most about `max_bytes`.
  /// `f` gets an empty vector when a non-following feed has come to its end; a following
  /// one waits. One call at a time; never called from inside.
  void next(size_t max_bytes, std::function<void(result<std::vector<v1::FollowItem>>)> f);

private:
  friend class ledger;
  struct impl;
  std::shared_ptr<impl> impl_;
};

} // namespace gantry::runtime
