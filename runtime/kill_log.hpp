#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "io/loop.hpp"

// Whom the kernel has killed for want of memory, as its own log tells it. The counters of a cgroup
// tell that somebody was killed there, and nothing tells who but this.

namespace gantry::runtime {

/// A process that was killed for want of memory.
struct oom_kill {
  int32_t pid = 0;   ///< In the host's pid namespace.
  int64_t at_us = 0; ///< By the kernel's log, which counts as CLOCK_MONOTONIC does.
};

/// Since when all is known that comes with and behind this record, in microseconds of the log's
/// clock; nothing where it is no record of /dev/kmsg.
std::optional<int64_t> known_since(std::string_view record);

/// `3,73537,50084878243,-;Memory cgroup out of memory: Killed process 42 (tail) …`. Nothing where
/// it is about something else, or where not the kernel says so: anybody with root may write there.
std::optional<oom_kill> parse_oom_kill(std::string_view record);

/// Reads /dev/kmsg when somebody wants to know, at most 256 records in a turn of the loop: about
/// 0.6 µs each, and a kernel keeps some thousands. Later only what is new, which costs one system
/// call where there is nothing. Holds one descriptor from then on.
///
/// What it says is certain: the kernel writes the line before the process can end (mm/oom_kill.c:
/// the victim's task lock is held meanwhile), and in no other case.
class kill_log {
public:
  explicit kill_log(io::loop& l) : loop_(l) {}
  kill_log(const kill_log&) = delete;
  kill_log& operator=(const kill_log&) = delete;

  /// Reads on, so that `ask` knows what has been written until now. True: that is done, or there
  /// is nothing to read. False: more is left than one turn may take; `f` is called from a later
  /// one, when the end was reached or, where the kernel writes faster than that, after 65,536
  /// records.
  [[nodiscard]] bool read(std::function<void()> f);

  /// unknown: the log cannot be read here, it was not read to its end, it does not reach back so
  /// far, or its pids are those of another pid namespace.
  enum class answer : uint8_t { killed, not_killed, unknown };

  /// By what was read: see `read`.
  /// @param at_ns By the clock on the wall: when the process ended; now, where it lives.
  [[nodiscard]] answer ask(int32_t pid, int64_t at_ns) const;

private:
  bool open();
  bool read_some();
  void read_on();
  void take(std::string_view record);

  io::loop& loop_;
  io::fd file_;
  bool tried_ = false;
  bool at_end_ = false;
  size_t slices_ = 0; ///< Of the reading under way.
  std::vector<std::function<void()>> waiting_; ///< While there is one.
  std::deque<oom_kill> kills_; ///< The newest last.
  std::optional<int64_t> from_us_; ///< What came since then is known.
  std::shared_ptr<int> life_ = std::make_shared<int>(0); ///< Posted calls look here first.
};

/// Whether a process ends, or is about to: it has left, or SIGKILL waits for it. One that is gone
/// ends, too. Two small reads.
bool is_ending(io::kernel& k, int32_t pid, uint64_t start_ticks);

} // namespace gantry::runtime
