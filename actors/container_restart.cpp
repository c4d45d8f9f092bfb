#include <algorithm>

#include "actors/container.hpp"
#include "io/log.hpp"
#include "runtime/policy_messages.hpp"

// What a container's restart policy makes of the end of a run. The decision is recorded before
// its timer is armed; an end without a decision (a crash came between) is decided upon adoption.

namespace gantry::actors {

namespace {
/// A restart for which there is no room is tried again after this.
constexpr io::nanoseconds no_room_pause = std::chrono::seconds(1);
} // namespace

/// It has ended, or never began, and nothing is under way.
bool container_state::over() const noexcept {
  return at_ == phase::stopped || at_ == phase::restarting || at_ == phase::dead;
}

void container_state::consider_restart(uint64_t cause) {
  const auto* v = view();
  if (!v->restarts || host->ending)
    return;
  const auto end = runtime::last_end_of(*v);
  if (!end)
    return;
  v1::ContainerSpec spec;
  spec.ParseFromString(v->spec);
  const auto policy = runtime::restart_policy_of(spec);
  if (!policy) { // A later version's: it was checked when the container was made.
    io::log_warn("container={}: it is not started again: {}", who.id, policy.why().text());
    return;
  }
  const auto now = host->loop.sys().realtime().count();
  const auto history = runtime::history_of(runtime::restart_state_of(*v));
  const auto d = runtime::decide_restart(*policy, history, *end, now, instance_);
  using verdict = runtime::restart_decision::verdict;
  if (d.what == verdict::restart) {
    schedule_restart(d, now, cause);
  } else if (d.what == verdict::dead) {
    auto r = record();
    r.set_cause(cause);
    r.mutable_given_up()->set_reason(d.reason);
    r.mutable_given_up()->set_attempt(d.next.in_a_row);
    r.mutable_given_up()->set_of(d.of);
    host->ledger.record(r);
    happen(event::give_up, [this] { enter(phase::dead); });
  }
}

void container_state::schedule_restart(const runtime::restart_decision& d, int64_t now_ns,
                                       uint64_t cause) {
  auto r = record();
  r.set_cause(cause);
  auto* x = r.mutable_restart_scheduled();
  x->set_at_ns(d.at_ns);
  x->set_delay_ns(d.at_ns - now_ns);
  x->set_attempt(d.attempt);
  x->set_of(d.of);
  x->set_reason(d.reason);
  x->set_total(d.next.total);
  for (const auto at : d.next.recent)
    x->add_recent_ns(at);
  host->ledger.record(r);
  happen(event::schedule, [this, after = io::nanoseconds{d.at_ns - now_ns}] {
    enter(phase::restarting);
    if (at_ == phase::restarting)
      arm_restart(after);
  });
}

void container_state::arm_restart(io::nanoseconds after) {
  // A timer, not a delayed message: that would hold this actor when gantryd goes away.
  restart_timer_ = std::make_unique<io::timer>(host->loop);
  restart_timer_->start(after, while_here([this, number = ++restart_number_] {
                          caf::anon_send(container_actor{self}, atom::restart::value, number);
                        }));
}

void container_state::disarm_restart() {
  restart_timer_.reset();
  ++restart_number_;
}

/// The rest of a delay, by the clock on the wall: the time without a supervisor counts. A clock
/// that was set back makes it no longer than it was.
void container_state::adopt_restart() {
  if (at_ == phase::stopped) {
    const auto* p = view()->init();
    consider_restart(p != nullptr && p->exit ? p->exit->seq() : 0);
  } else if (at_ == phase::restarting) {
    const auto s = runtime::restart_state_of(*view());
    const auto left = s.at_ns() - host->loop.sys().realtime().count();
    arm_restart(io::nanoseconds{std::clamp<int64_t>(left, 0, std::max<int64_t>(s.delay_ns(), 0))});
  }
}

void container_state::on_restart_due(uint64_t number) {
  if (number == restart_number_ && !host->ending)
    happen(event::restart_due, [this] { try_restart(); });
}

void container_state::try_restart() {
  disarm_restart();
  if (auto room = host->room_for_process(who); !room) {
    host->stuck[who] = "it is to be started again: " + room.why().message;
    arm_restart(no_room_pause);
    return;
  }
  const auto& last = processes_[init].actor;
  if (last) // Somebody still holds the last run's streams open: `released` asks again.
    self->send(last, atom::release::value);
  if (last || execs_making_ > 0) { // Those would come into the new run: the last one asks again.
    waiting_.push_back([this] { happen(event::restart_due, [this] { try_restart(); }); });
    return;
  }
  const auto cause = runtime::restart_state_of(*view()).seq();
  if (const auto future = may_start(false); !future) {
    // It is not even made; the policy says when that is looked at again, and how often.
    auto r = record();
    r.set_cause(cause);
    r.mutable_start_failed()->set_code(std::string{name_of(future.why().code)});
    r.mutable_start_failed()->set_message(future.why().message);
    r.mutable_start_failed()->set_cure(future.why().cure);
    r.mutable_start_failed()->set_cut_off(true);
    const auto seq = host->ledger.record(r);
    enter(phase::stopped);
    if (at_ == phase::stopped)
      consider_restart(seq);
    return;
  }
  auto work = std::make_shared<making>();
  work->cause = cause;
  begin_fresh_run(work);
}

/// A person's stop, while it waits or after it was given up: it stays stopped.
void container_state::cancel_restart(const v1::By& by, const v1::StopRequest& req,
                                     pending<v1::StopReply> promise) {
  disarm_restart();
  host->stuck.erase(who);
  auto r = record(by, req.request_id());
  r.mutable_restart_cancelled();
  v1::StopReply reply;
  if (auto x = host->ledger.now().exit_of(who, instance_, init))
    *reply.mutable_exit() = x->exit;
  {
    const auto both = host->ledger.together();
    host->ledger.record(r);
    host->finish_request(req.request_id(), "Stop", reply);
  }
  enter(phase::stopped);
  promise.deliver(reply);
}

} // namespace gantry::actors
