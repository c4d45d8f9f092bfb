#pragma once

// INTERNAL to runtime/ledger.cpp and runtime/event_feed.cpp.

#include <deque>

#include "runtime/ledger.hpp"

namespace gantry::runtime {

/// The parts of one follower; whoever has a call under way holds a share of it.
struct event_feed::impl : std::enable_shared_from_this<event_feed::impl> {
  using items = std::vector<v1::FollowItem>;
  using answer = std::function<void(result<items>)>;

  impl(ledger& l, v1::FollowRequest what);

  /// The ledger has new public records.
  static void wake(const std::shared_ptr<impl>& self);

  void next(size_t max_bytes, answer f);
  void go_on();              ///< Answers if there is something to answer with.
  result<void> begin();      ///< At the first `next`: list and cursor, gap, refusal.
  void take_list();
  void resume_at(const v1::Cursor& since);
  void add_gap(uint64_t from, uint64_t to, const std::string& reason);
  [[nodiscard]] bool behind() const;
  void take_recent(items& out, size_t& size);
  void read_journal();
  void took(result<std::vector<journal::Record>> records);
  void add(v1::Event e, items& out, size_t& size);
  void reply(result<items> with);

  ledger& owner;
  v1::FollowRequest request;
  bool begun = false;
  bool closed = false;  ///< The feed has gone: nobody is to be called any more.
  bool reading = false; ///< A journal read is under way.
  uint64_t cursor = 0;  ///< The last record that was looked at.
  /// Who does not follow gets what is there at the beginning: where much is recorded there would be
  /// no end of it.
  uint64_t end = UINT64_MAX;
  uint64_t read_to = 0; ///< The newest one when the read under way began.
  /// Runs of probes are not among the newest events in memory: they would push all others out. Who
  /// wants them reads the journal alone.
  probe_runs runs;
  std::deque<v1::FollowItem> first; ///< List, `listed`, gap: what comes before the events.
  size_t max_bytes = 0;
  answer waiting;
};

} // namespace gantry::runtime
