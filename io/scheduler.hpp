#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/detail/simple_actor_clock.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <deque>
#include <mutex>

#include "io/loop.hpp"

namespace gantry::io {

/// Configuration of an actor system that runs on a loop: no thread of its own, no
/// exceptions swallowed, no printing defaults. Make one, then `caf::actor_system sys{cfg}`.
class loop_config : public caf::actor_system_config {
public:
  explicit loop_config(loop& l);
  [[nodiscard]] loop& the_loop() const noexcept { return *loop_; }

private:
  loop* loop_;
};

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

/// CAF's scheduler: ready actors run in the loop's turns, on its thread. An `enqueue` from
/// another thread wakes the loop. `stop` runs what is still ready, then drops the rest.
class loop_scheduler : public caf::scheduler::abstract_coordinator, public turn_hook {
public:
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
  bool run_one();

  loop& loop_;
  loop_clock clock_;
  std::deque<caf::resumable*> ready_;      ///< The loop's thread only.
  mutable std::mutex foreign_mutex_;       ///< Guards what other threads bring.
  std::deque<caf::resumable*> foreign_;
  std::atomic<bool> has_foreign_{false};
};

/// Actor defaults of gantry: an unexpected message, an exception or an unhandled error is
/// our bug and aborts with the actor's name. Call first in each event-based actor.
void abort_on_surprise(caf::scheduled_actor& self);

} // namespace gantry::io
