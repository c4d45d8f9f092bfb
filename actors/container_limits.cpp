#include <algorithm>
#include <csignal>

#include "actors/container.hpp"
#include "io/log.hpp"

// What ends a run that is not ill: its maximum time, and what its OOM policy makes of a kill.

namespace gantry::actors {

namespace {

bool is_up(phase p) {
  return p == phase::running || p == phase::pausing || p == phase::paused
         || p == phase::checkpointing;
}

} // namespace

/// Its time runs while it is up, by the clock on the wall: also while no supervisor lives. A clock
/// that was set back makes it no longer than it was.
void container_state::follow_run_time() {
  const auto* v = view();
  if (v == nullptr || v->max_run_ns <= 0 || !is_up(at_)) {
    run_timer_.reset();
    return;
  }
  if (run_timer_)
    return;
  const auto left = v->started_at_ns + v->max_run_ns - host->loop.sys().realtime().count();
  run_timer_ = std::make_unique<io::timer>(host->loop);
  run_timer_->start(io::nanoseconds{std::clamp<int64_t>(left, 0, v->max_run_ns)},
                    while_here([this, run = run_] {
                      caf::anon_send(container_actor{self}, atom::overtime::value, run);
                    }));
}

void container_state::on_overtime(uint32_t run) {
  if (run != run_ || !is_up(at_))
    return;
  capture("max-run-time", 0, [this](uint64_t cause, uint64_t) {
    happen(event::stop, [this, cause] {
      if (is_up(at_))
        begin_stop({}, {}, {.reason = "max-run-time", .final = false, .cause = cause});
    });
  });
}

/// The account of a cgroup that is new, or was an earlier life's.
void container_state::count_ooms(oom_account::past known) {
  oom_ = std::make_shared<oom_account>(*host, who, instance_, std::move(known));
  const container_actor me{self};
  oom_->on_growth([address = caf::actor_cast<caf::actor_addr>(me)](uint64_t seq) {
    if (auto actor = caf::actor_cast<container_actor>(address))
      caf::anon_send(actor, atom::oom::value, seq);
  });
}

/// Something of it was killed for want of memory. @param seq Of the record.
void container_state::on_oom(uint64_t seq) {
  if (!is_up(at_) || view() == nullptr || processes_[init].ended)
    return;
  v1::ContainerSpec spec;
  spec.ParseFromString(view()->spec);
  const auto& policy = spec.oom_policy();
  if (policy == "kill_group") {
    record_kill(init, SIGKILL, true, nullptr, {}, seq, false, "oom");
    if (auto killed = group().kill_all(); !killed)
      io::log_warn("container={}: {}", who.id, killed.why().text());
    (void)signal_process(processes_[init], SIGKILL);
  } else if (policy == "restart" || policy == "stop") {
    capture("oom", seq, [this, final = policy == "stop"](uint64_t cause, uint64_t) {
      happen(event::stop, [this, cause, final] {
        if (is_up(at_))
          begin_stop({}, {}, {.reason = "oom", .final = final, .cause = cause});
      });
    });
  }
}

} // namespace gantry::actors
