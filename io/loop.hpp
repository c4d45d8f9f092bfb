#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/kernel.hpp"
#include "io/op.hpp"

namespace gantry::io {

/// What a loop may do in one turn: policy, plain data.
struct loop_policy {
  size_t max_actor_resumes = 256;                       ///< Ready actors run per turn.
  size_t pump_bytes = 256 * 1024;                       ///< Stream bytes a pump may move per turn.
  nanoseconds slow_turn = std::chrono::milliseconds(5); ///< Longer turns are counted and logged.
};

/// Counters, for `info` and the metrics.
struct loop_stats {
  uint64_t turns = 0;
  uint64_t completions = 0;
  uint64_t actor_resumes = 0;
  uint64_t slow_turns = 0;      ///< Turns longer than `loop_policy::slow_turn`.
  uint64_t longest_turn_ns = 0; ///< Of the work of a turn, the wait left out.
  /// What took the longest in the last slow turn: `posted` and the code that was posted, `actor`
  /// and its name, …
  std::string slow_part;
  uint64_t slow_part_ns = 0; ///< … and how long.
};

class timer;
class watchdog;

/// Work that others bring to every turn: the actor scheduler is one.
class turn_hook {
public:
  virtual ~turn_hook() = default;
  /// Does a bounded amount of work.
  virtual void run_some() = 0;
  /// Whether there is more to do at once (the loop then does not wait).
  [[nodiscard]] virtual bool ready() const noexcept = 0;
  /// When it wants to be called at the latest; `nanoseconds::max()` for never.
  [[nodiscard]] virtual nanoseconds deadline() const noexcept = 0;
};

/// The loop: turns of submit, wait, collect, run callbacks, run timers, run hooks; never
/// nested. One thread owns it: every call but `wake` and `stop` comes from there.
class loop {
public:
  explicit loop(kernel& k, loop_policy policy = {});
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  [[nodiscard]] kernel& sys() noexcept { return kernel_; }

  void submit(op& x); ///< Counts it and hands it to the kernel.
  void cancel(op& x) { kernel_.cancel(x); }

  /// Runs `f` later in this turn or in the next one, never from inside this call.
  void post(std::function<void()> f);

  /// The monotonic time at which the current turn's work began: cheap.
  [[nodiscard]] nanoseconds now() const noexcept { return now_; }

  /// One turn. Waits for something to do only if `may_wait`. False when there was nothing.
  bool turn(bool may_wait);

  /// Turns until `stop`.
  void run();

  /// Ends `run` after the current turn, or the next `run` at once. Thread-safe,
  /// async-signal-safe.
  void stop() noexcept;

  /// Turns until the kernel holds no request, at most `limit`. True when it holds none.
  bool drain(nanoseconds limit);

  /// Watches the length of every turn from now on (not owned; nullptr ends it).
  void set_watchdog(watchdog* dog) noexcept { watchdog_ = dog; }

  /// A piece of the turn's work has ended, which began where the one before ended. The longest
  /// is named where the turn is slow. `kind` and `name` (where it is a type's, mangled) live on.
  /// Returns the time: it costs a look at the clock.
  nanoseconds did(const char* kind, const char* name) noexcept;

  /// For the actor scheduler: counts actors that ran.
  void count_resumes(size_t n) noexcept { stats_.actor_resumes += n; }

  /// Registers a hook (not owned; removed by `remove_hook`).
  void add_hook(turn_hook& hook);
  void remove_hook(turn_hook& hook);

  /// Requests that the kernel still holds: closing down waits for zero.
  [[nodiscard]] size_t in_flight() const noexcept { return in_flight_; }
  [[nodiscard]] const loop_stats& stats() const noexcept { return stats_; }
  [[nodiscard]] const loop_policy& policy() const noexcept { return policy_; }

private:
  friend class timer;
  nanoseconds next_deadline(bool may_wait) const noexcept;
  nanoseconds guard_wait(nanoseconds deadline) noexcept;
  void run_completions();
  bool run_posted();
  bool run_timers();
  bool run_hooks();
  void end_turn(nanoseconds began);
  void report_slow(nanoseconds took);

  kernel& kernel_;
  loop_policy policy_;
  loop_stats stats_;
  nanoseconds now_{0};
  nanoseconds last_slow_report_{0};
  uint64_t slow_unreported_ = 0;
  size_t in_flight_ = 0;
  bool in_turn_ = false;
  bool was_idle_ = false;
  nanoseconds part_began_{0};
  struct {
    nanoseconds took{0};
    const char* kind = "";
    const char* name = "";
  } longest_; ///< Part of this turn.
  size_t posted_ran_ = 0; ///< In this turn …
  size_t timers_ran_ = 0;
  uint64_t resumes_before_ = 0;
  watchdog* watchdog_ = nullptr;
  std::atomic<bool> stopped_{false};
  std::vector<completion> done_;
  std::deque<std::function<void()>> posted_;
  std::multimap<nanoseconds, timer*> timers_;
  std::vector<turn_hook*> hooks_;
};

/// A one-shot timer of the loop. Immovable; cancelled by its destructor.
class timer {
public:
  explicit timer(loop& l) noexcept : loop_(l) {}
  ~timer() { cancel(); }
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;

  /// Fires `f` once, `after` from now; replaces what was armed before.
  void start(nanoseconds after, std::function<void()> f);
  void cancel() noexcept;
  [[nodiscard]] bool armed() const noexcept { return armed_; }

private:
  friend class loop;
  loop& loop_;
  bool armed_ = false;
  std::multimap<nanoseconds, timer*>::iterator place_;
  std::function<void()> callback_;
};

} // namespace gantry::io
