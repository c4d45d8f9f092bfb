#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

// When a container is started again after its end: plain data and plain functions, no clock of
// their own. All times are nanoseconds of one clock that the caller chooses.

namespace gantry::runtime {

/// The words of `--restart`. Nothing undoes a person's stop, so `always` and `unless_stopped`
/// decide alike; both are kept as they were said.
enum class restart_when : uint8_t { no, on_failure, always, unless_stopped };

/// What a rule does with the ends that it matches.
enum class restart_act : uint8_t { restart, stay, give_up };

/// An answer for some ends, before the policy's word is asked.
struct restart_rule {
  enum class kind : uint8_t {
    exit_code, signal, oom, unhealthy, overtime, pressure
  } what = kind::exit_code;
  int first = 0; ///< Exit code or signal …
  int last = 0;  ///< … to this one.
  restart_act act = restart_act::stay;
  bool operator==(const restart_rule&) const = default;
};

/// How and how often a container is started again.
struct restart_policy {
  restart_when when = restart_when::no;
  uint32_t retries = 0; ///< In a row, of `on_failure`; 0: no limit.
  int64_t delay_ns = 100'000'000;         ///< Before the first restart in a row.
  double factor = 2;                      ///< Each further one waits so many times as long.
  int64_t delay_max_ns = 60'000'000'000;  ///< But not longer than this.
  double jitter = 0.1;                    ///< Share by which a delay is shortened at most.
  int64_t reset_after_ns = 10'000'000'000; ///< Up for so long, it begins anew.
  uint32_t attempts = 0; ///< At most so many restarts within …
  int64_t window_ns = 0; ///< … this time; both or none. Then it is given up.
  std::vector<restart_rule> rules; ///< The first that matches decides.
  bool operator==(const restart_policy&) const = default;

  /// Whether any end leads to a restart.
  [[nodiscard]] bool restarts() const noexcept;
};

/// Most restarts that are counted within a window, and most rules.
inline constexpr uint32_t max_restart_attempts = 1000;
inline constexpr size_t max_restart_rules = 64;

/// What must be remembered between two ends.
struct restart_history {
  uint32_t in_a_row = 0; ///< Restarts since it was last up for `reset_after_ns`.
  uint64_t total = 0;    ///< Restarts by the policy since its create.
  std::vector<int64_t> recent; ///< Times of those within the window, the oldest first.
  bool operator==(const restart_history&) const = default;
};

/// How a run ended.
struct run_end {
  std::optional<int> exit_code; ///< Absent when a signal ended it, or nobody knows.
  int signal = 0;
  bool oom = false;
  bool unhealthy = false;    ///< The supervisor ended it, because its probes failed.
  bool overtime = false;     ///< The same, because it ran as long as it may.
  bool pressure = false;     ///< The same, because it lacked something.
  bool start_failed = false; ///< A restart did not come as far as running.
  bool by_person = false;    ///< A stop, a kill or a removal that somebody asked for.
  int64_t up_ns = 0;         ///< How long it ran; below 0 counts as 0.
};

/// What is to be done about an end.
struct restart_decision {
  enum class verdict : uint8_t { stay, restart, dead } what = verdict::stay;
  int64_t at_ns = 0;    ///< When it is to be started again.
  uint32_t attempt = 0; ///< Which in a row this is, from 1.
  uint32_t of = 0;      ///< Of at most so many; 0: no limit.
  std::string reason;   ///< In words: `exit code 3`, `SIGSEGV`, `out of memory` …
  restart_history next; ///< The history from now on.
};

/// Decides about an end. @param seed Chooses the jitter: the same seed, the same times.
restart_decision decide_restart(const restart_policy& policy, const restart_history& history,
                                const run_end& end, int64_t now_ns, uint64_t seed);

/// The delay before the restart that is number `attempt` (from 1) in a row, without jitter.
int64_t restart_delay(const restart_policy& policy, uint32_t attempt) noexcept;

/// An end in words.
std::string words_of(const run_end& end);

/// `no`, `on-failure`, `on-failure:5`, `always`, `unless-stopped`; the other fields as they are
/// by default.
result<restart_policy> parse_restart(std::string_view text);

/// `WHAT:ACT`. WHAT is `exit=3`, `exit=10-20`, `signal=SEGV`, `oom`, `unhealthy`, `overtime`
/// or `pressure`;
/// ACT is `restart`, `stay` or `dead`.
result<restart_rule> parse_restart_rule(std::string_view text);

/// The policy's word as `parse_restart` takes it, and a rule as `parse_restart_rule` does.
std::string text_of(const restart_policy& policy);
std::string text_of(const restart_rule& rule);

/// Whether a policy makes sense by itself and for a container.
/// @param remove_on_exit The container is to be removed when it ends.
result<void> check_restart(const restart_policy& policy, bool remove_on_exit);

} // namespace gantry::runtime
