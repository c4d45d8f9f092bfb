#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "io/kernel.hpp"

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

/// Reads /dev/kmsg when it is asked, and never waits: about a microsecond a record, so a few
/// milliseconds the first time. Holds one descriptor from then on.
///
/// What it says is certain: the kernel writes the line before the process can end (mm/oom_kill.c:
/// the victim's task lock is held meanwhile), and in no other case.
class kill_log {
public:
  explicit kill_log(io::kernel& k) : kernel_(k) {}

  /// unknown: the log cannot be read here, it does not reach back so far, or its pids are those of
  /// another pid namespace.
  enum class answer : uint8_t { killed, not_killed, unknown };

  /// @param at_ns By the clock on the wall: when the process ended; now, where it lives.
  answer ask(int32_t pid, int64_t at_ns);

private:
  bool open();
  void read_on();

  io::kernel& kernel_;
  io::fd file_;
  bool tried_ = false;
  std::deque<oom_kill> kills_; ///< The newest last.
  std::optional<int64_t> from_us_; ///< What came since then is known.
};

/// Whether a process ends, or is about to: it has left, or SIGKILL waits for it. One that is gone
/// ends, too. Two small reads.
bool is_ending(io::kernel& k, int32_t pid, uint64_t start_ticks);

} // namespace gantry::runtime
