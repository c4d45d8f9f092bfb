#pragma once

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/detail/simple_actor_clock.hpp>
#include <caf/execution_unit.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <deque>
#include <mutex>
#include <thread>

#include "io/loop.hpp"

namespace gantry::io {

/// Configuration of an actor system that runs on a loop: no thread of its own, no
/// exceptions swallowed, no printing defaults, no configuration file, no command line. Make
/// one, then `caf::actor_system sys{cfg}`.
///
/// The end: let every actor quit, call `end_actors`, then destroy the system. CAF's own
/// wait for the last actor would block the only thread that can run it, so it is off.
class loop_config : public caf::actor_system_config {
public:
  explicit loop_config(loop& l);
  [[nodiscard]] loop& the_loop() const noexcept { return *loop_; }

private:
  loop* loop_;
};

/// Turns the loop until no actor of `sys` is running, at most `limit`. Ask the actors to
/// quit before. True when none is left: only then may the system be destroyed.
bool end_actors(caf::actor_system& sys, loop& l, nanoseconds limit);

/// CAF's clock, fired by the loop.
class loop_clock : public caf::detail::simple_actor_clock {
public:
  explicit loop_clock(loop& l) noexcept : loop_(l) {}
  time_point now() const noexcept override;
  [[nodiscard]] nanoseconds deadline() const noexcept;
  void fire_due();

private:
  loop& loop_;
};

/// CAF's scheduler: ready actors run in the loop's turns, on its thread, each for at most
/// 50 messages at a time. An `enqueue` from another thread wakes the loop. `stop` runs what
/// is still ready, then drops the rest. There is no printer: `caf::aout` must not be used.
class loop_scheduler : public caf::scheduler::abstract_coordinator, public turn_hook {
public:
  /// On the loop's thread.
  loop_scheduler(caf::actor_system& sys, loop& l);
  ~loop_scheduler() override;

  // caf::scheduler::abstract_coordinator
  void enqueue(caf::resumable* what) override;
  [[nodiscard]] bool detaches_utility_actors() const override { return false; }
  caf::actor_clock& clock() noexcept override { return clock_; }
  void start() override;
  void stop() override;

  // turn_hook
  void run_some() override;
  [[nodiscard]] bool ready() const noexcept override;
  [[nodiscard]] nanoseconds deadline() const noexcept override;

private:
  /// Whom CAF tells of an actor that became ready while another runs.
  class unit final : public caf::execution_unit {
  public:
    unit(caf::actor_system& sys, loop_scheduler& owner)
      : caf::execution_unit(&sys), owner_(owner) {}
    void exec_later(caf::resumable* what) override { owner_.ready_.push_back(what); }

  private:
    loop_scheduler& owner_;
  };

  const char* run_one();
  void take_foreign();

  loop& loop_;
  loop_clock clock_;
  unit unit_;
  std::thread::id owner_;
  bool hooked_ = false;
  std::deque<caf::resumable*> ready_; ///< The loop's thread only.
  std::mutex foreign_mutex_;          ///< Guards what other threads bring.
  std::deque<caf::resumable*> foreign_;
  std::atomic<bool> has_foreign_{false};
};

/// Actor defaults of gantry: an unexpected message, an exception or an unhandled error is
/// our bug and aborts with the actor's name. Call first in each event-based actor.
void abort_on_surprise(caf::scheduled_actor& self);

} // namespace gantry::io
