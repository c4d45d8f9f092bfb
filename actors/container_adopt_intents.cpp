#include <algorithm>

#include "actors/container.hpp"

// Adoption, the intents: a start, a removal or a stop that was under way goes on.

namespace gantry::actors {

namespace {

using phase_t = runtime::process_view::phase_t;

} // namespace

/// A start under way, or the second step of a create that also starts.
void container_state::adopt_start(const runtime::container_view& v) {
  making_ = std::make_shared<making>();
  making_->by = v.intent_by.value_or(v1::By{});
  making_->request_id = v.intent_request;
  making_->in_steps = v.start_wanted && run_ <= 1;
  making_->durable = true;
}

void container_state::adopt_removal(const runtime::container_view& v) {
  removing_ = std::make_unique<removing>();
  removing_->by = v.intent_by.value_or(v1::By{});
  removing_->request_id = v.intent_request;
  removing_->cause = v.intent_seq;
  if (living()) {
    killed_at_ = host->loop.now();
    kill_everything(removing_->by, v.intent_seq);
    ++stop_number_;
    arm_stuck();
  }
  self->send(self, atom::sweep::value);
}

void container_state::adopt_stop(const runtime::container_view& v) {
  stop_seq_ = v.intent_seq;
  stop_request_ = v.intent_request;
  stop_by_ = v.intent_by.value_or(v1::By{});
  const auto spent = host->loop.sys().realtime().count() - v.intent_at_ns;
  const auto left = std::clamp<int64_t>(v.stop_timeout_ns - spent, 0, v.stop_timeout_ns);
  if (left > 0) // The signal may not have been sent: twice is better than never.
    (void)signal_process(processes_[init], v.stop_signal);
  arm_grace(io::nanoseconds{left});
}

void container_state::report_restored(const runtime::container_view& v) {
  size_t living = 0;
  size_t execs = 0;
  for (const auto& p : v.processes) {
    const bool lives = p.pid > 0 && p.phase != phase_t::exited && p.phase != phase_t::died
                       && host->loop.sys().start_ticks(p.pid) == int64_t(p.start_ticks);
    living += lives;
    execs += lives && p.id != init;
  }
  auto r = record();
  auto* x = r.mutable_restored();
  x->set_adopted(living > 0);
  x->set_state(v.state);
  if (living > 0)
    x->set_what("adopted with " + std::to_string(execs) + " living execs, streams and log go on");
  else if (v.state == v1::CREATING || v.state == v1::DELETING)
    x->set_what("a command was under way and is finished now");
  else
    x->set_what("its init ended while the supervisor was away");
  if (const auto* p = v.init())
    r.set_pid(p->pid);
  host->ledger.record(r);
}

} // namespace gantry::actors
