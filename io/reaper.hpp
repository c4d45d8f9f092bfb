#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "io/held_poll.hpp"
#include "io/loop.hpp"
#include "io/shelf.hpp"

namespace gantry::io {

/// A process by pid and start time: a pid number alone is for display.
struct process_key {
  int32_t pid = 0;
  uint64_t start_ticks = 0;
  auto operator<=>(const process_key&) const = default;
};

/// A process that ended.
struct death {
  process_key who;
  exit_status status;
  int64_t realtime_ns = 0;
};

/// The one exit path: pidfds, the keeper's table of the dead, and the kernel's own word
/// (PIDFD_INFO_EXIT), whichever speaks first. Each watched process is reported once. Where
/// there is no keeper and the process is our own child (adopted ones too), it is reaped here,
/// and nobody else ever is.
///
/// A process whose status nobody can tell is reported with `status.known` false: 2 s after it
/// was found to be gone while a keeper lives (its word may be on the way), at once otherwise.
class reaper {
public:
  /// @param keeper Outlives the reaper, and the turn of the loop after it.
  reaper(loop& l, shelf& keeper);
  ~reaper(); ///< At any time; what it asked of the kernel is cancelled (`loop::drain`).

  /// Begins to listen to the keeper's news. Entries that lie in the table already wait at
  /// least 30 s to be claimed: they tell of processes that a recovery will watch.
  void start();

  /// Watches a process that fell to the keeper. If it is dead already the report still
  /// comes, from the table or as unknown. The report comes on the loop, never from inside
  /// this call. The callback must record the death (arena) before it returns: only then
  /// is its table entry freed.
  /// @returns false if this process is watched already.
  bool watch(process_key who, std::function<void(const death&)> f);

  /// Stops watching; no report will come.
  void forget(process_key who);

  /// A pidfd of a watched process, for signals; -1 if it is not watched or has ended.
  [[nodiscard]] int pidfd_of(process_key who) const noexcept;

  /// Whether a watched process may have ended unseen: no pidfd of it could be had yet (no
  /// descriptor or memory was left). That is tried again every 100 ms.
  [[nodiscard]] bool in_doubt(process_key who) const noexcept;

  /// Looks for an entry of a dead process that nobody watches yet, by pid: for a process
  /// that died before its pid file was read. Does not consume it.
  [[nodiscard]] const dead_entry* unclaimed(int32_t pid) const noexcept;

  /// A runtime command begins / ends: entries that nobody claims are freed only while no
  /// command that began before them is under way.
  uint64_t command_begins();
  void command_ends(uint64_t ticket);

  [[nodiscard]] size_t watched() const noexcept { return watches_.size(); }

private:
  struct watch_state;
  using watch_map = std::map<process_key, std::unique_ptr<watch_state>>;

  // reaper.cpp: who is watched
  void attach(process_key who, watch_state& w);
  void ended(process_key who);
  void inquire(process_key who, watch_state& w);
  void inquire_later(process_key who, watch_state& w);
  void report(process_key who, watch_state& w, const death& d, int64_t index);
  void deliver(process_key who, uint64_t id, const death& d, int64_t index);
  bool claim(process_key who, watch_state& w);
  void look_at(uint32_t index);
  void keeper_lost();
  [[nodiscard]] bool has_keeper() const noexcept;

  // reaper_table.cpp: the table of the dead
  void arm_news();
  void sweep(bool whole); ///< Reports what is new, or looks at every entry.
  [[nodiscard]] watch_map::iterator claimant(const dead_entry& x);
  void set_aside(uint32_t index, nanoseconds keep);
  void release(uint32_t index);
  void expire();
  [[nodiscard]] bool awaited(const dead_entry& x) const noexcept;

  loop& loop_;
  shelf& keeper_;
  held_poll news_;
  watch_map watches_;
  std::map<uint64_t, int64_t> commands_;   ///< ticket → realtime of its begin
  std::vector<bool> known_;                ///< Entries that are reported or set aside.
  std::map<uint32_t, nanoseconds> aside_;  ///< Unclaimed entry → kept until at least.
  uint64_t seen_ = 0;                      ///< The table's position that was looked at.
  uint64_t next_ticket_ = 1;
  uint64_t next_id_ = 1;
  nanoseconds keep_;                       ///< How long an entry found now waits unclaimed.
  timer expiry_;
  bool started_ = false;
  bool freeing_ = false; ///< The keeper will be told in this turn.
  std::shared_ptr<int> life_ = std::make_shared<int>(); ///< For what is posted: are we there?
};

} // namespace gantry::io
