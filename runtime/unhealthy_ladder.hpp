#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

// What is done about a container that is unhealthy, step by step: plain data and plain functions.

namespace gantry::runtime {

/// One thing that can be done about it.
struct unhealthy_act {
  /// capture: what it looks like is kept, and nothing else is done. stop: it stays stopped.
  /// hook: a program of the host is run.
  enum class kind : uint8_t { none, restart, stop, kill, signal, freeze, capture, hook } what
    = kind::none;
  int signal = 0;
  std::string program = {}; ///< Of a hook: its absolute path.
  bool operator==(const unhealthy_act&) const = default;

  /// Whether it ends the run.
  [[nodiscard]] bool ends() const noexcept {
    return what == kind::restart || what == kind::stop || what == kind::kill;
  }
  /// Whether what it looks like is kept before.
  [[nodiscard]] bool captures() const noexcept {
    return ends() || what == kind::capture || what == kind::hook;
  }
};

/// A step: so often, then the next one's turn comes.
struct ladder_step {
  unhealthy_act act;
  uint32_t attempts = 1;
  bool operator==(const ladder_step&) const = default;
};

/// The steps, the mildest first as a rule; none: nothing is done.
struct unhealthy_ladder {
  std::vector<ladder_step> steps;
  int64_t reset_after_ns = 600'000'000'000; ///< Healthy for so long, it begins anew.
  bool operator==(const unhealthy_ladder&) const = default;

  [[nodiscard]] bool restarts() const noexcept; ///< Whether a step of it is a restart.
  /// Whether attempts are left that were not made yet. @param made So many were.
  [[nodiscard]] bool goes_on(uint32_t made) const noexcept;
};

inline constexpr size_t max_ladder_steps = 16;
inline constexpr uint32_t max_ladder_attempts = 1000;

/// An attempt, and where it stands.
struct ladder_attempt {
  unhealthy_act act;
  uint32_t number = 0;  ///< Of all attempts, from 1.
  uint32_t step = 0;    ///< From 1 …
  uint32_t steps = 0;   ///< … of so many.
  uint32_t attempt = 0; ///< At this step, from 1 …
  uint32_t of = 0;      ///< … of so many.
};

/// The attempt that comes when `made` were made. Behind the end the last step goes on being made:
/// its `attempt` is then more than `of`. The ladder has a step.
ladder_attempt next_attempt(const unhealthy_ladder& ladder, uint32_t made);

/// Whether a container that has become unhealthy begins its ladder anew.
/// @param healthy_ns When it became healthy; 0: it was not.
bool begins_anew(const unhealthy_ladder& ladder, int64_t healthy_ns, int64_t now_ns) noexcept;

/// `none`, `capture`, `signal=NAME`, `hook=/PROGRAM`, `freeze`, `restart`, `kill` or `stop`.
result<unhealthy_act> parse_unhealthy(std::string_view text);
std::string text_of(const unhealthy_act& act);

/// Steps with commas between them, each with `:N` behind it where it is to be made N times:
/// `signal=USR1:2,restart:3,stop`. `none` or nothing is no step.
result<unhealthy_ladder> parse_ladder(std::string_view text);
std::string text_of(const unhealthy_ladder& ladder);

} // namespace gantry::runtime
