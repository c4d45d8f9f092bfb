#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/poll.hpp"
#include "messages/gantry.pb.h"
#include "messages/result.hpp"
#include "runtime/cgroup.hpp"

// A container that lacks something: thresholds that the kernel watches, so that nobody asks.

namespace gantry::runtime {

/// What is watched. Of `memory_high` nothing else is said.
struct pressure_trigger {
  enum class resource : uint8_t { cpu, io, memory, memory_high } what = resource::memory;
  bool full = false;     ///< No process of it got on; else at least one did not.
  int64_t stall_ns = 0;  ///< So much of …
  int64_t window_ns = 0; ///< … so much time.
  bool operator==(const pressure_trigger&) const = default;
};

inline constexpr size_t max_pressure_triggers = 16;

/// `RESOURCE[:some|full]:STALL/WINDOW` with cpu, io or memory, as `memory:full:150ms/2s`; or
/// `memory.high`. The window is 500 ms to 10 s (psi: the kernel's own bounds).
result<pressure_trigger> parse_pressure(std::string_view text);
std::string text_of(const pressure_trigger& x);

/// Those of a spec, in its order.
result<std::vector<pressure_trigger>> pressure_of(const v1::ContainerSpec& spec);

/// Where the counters stand when a threshold is crossed.
struct pressure_sample {
  uint64_t total_us = 0; ///< Stalled since the cgroup was made (PSI).
  double avg10 = 0;      ///< Percent of the last 10 s (PSI).
  uint64_t count = 0;    ///< Reclaims over memory.high since the cgroup was made.
};

/// One threshold of one cgroup: POLLPRI on its .pressure file (PSI triggers, kernel 5.2; windows
/// that are no multiples of 2 s want CAP_SYS_RESOURCE), or on memory.events (v2). Costs one fd, and
/// nothing while the threshold is not crossed; then a poll and a read. The kernel tells of PSI once
/// a window at most; of memory.high we tell once a second at most.
class pressure_watch {
public:
  pressure_watch(io::loop& l, const cgroup_host& host);
  ~pressure_watch(); ///< At any time; `stop` tells when nothing is left in the kernel.

  /// @param path Of the cgroup. @param f Called on the loop at each crossing; may not destroy us.
  /// @param told Of memory.high: the count that is known. It is called soon where there are more.
  /// @returns an error that says why this cannot be watched here, with the cure.
  result<void> start(const std::string& path, const pressure_trigger& what, uint64_t told,
                     std::function<void(const pressure_sample&)> f);
  /// Ends the watch; `f` is called when nothing is in flight and the file is closed.
  void stop(std::function<void()> f);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// All that is watched of one container's cgroup.
class cgroup_watch {
public:
  cgroup_watch(io::loop& l, const cgroup_host& host) : loop_(l), host_(host) {}

  result<void> watch_oom(const std::string& path, std::function<void()> f);
  result<void> watch_pressure(const std::string& path, const pressure_trigger& what,
                              uint64_t told, std::function<void(const pressure_sample&)> f);
  /// Ends every watch; `f` is called when nothing is in flight, and may destroy us.
  void stop(std::function<void()> f);

private:
  io::loop& loop_;
  const cgroup_host& host_;
  std::unique_ptr<oom_watch> oom_;
  std::vector<std::unique_ptr<pressure_watch>> pressure_;
};

} // namespace gantry::runtime
