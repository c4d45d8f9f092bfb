#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "io/loop.hpp"
#include "io/poll.hpp"
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
/// (PIDFD_INFO_EXIT), whichever speaks first. Each watched process is reported once.
class reaper {
public:
  reaper(loop& l, shelf& keeper);
  ~reaper();

  /// Begins to listen to the keeper's news.
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
  void sweep();       ///< Reads the whole table, reports, frees.
  void arm_news();
  void ended(process_key who);
  void report(process_key who, const death& d);

  loop& loop_;
  shelf& keeper_;
  poll_op news_;
  std::map<process_key, std::unique_ptr<watch_state>> watches_;
  std::map<uint64_t, int64_t> commands_; ///< ticket → realtime of its begin
  uint64_t next_ticket_ = 1;
  bool started_ = false;
};

} // namespace gantry::io
