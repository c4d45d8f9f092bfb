#include "runtime/policy_messages.hpp"
#include "runtime/unhealthy_ladder.hpp"
#include "runtime/world_impl.hpp"

// What the records say of restarts: schedules, and who ended a run.

namespace gantry::runtime {

namespace {

using journal::Record;

void schedule(journal::RestartState& s, const Record& r) {
  const auto& x = r.restart_scheduled();
  s.set_in_a_row(x.attempt());
  s.set_total(x.total());
  *s.mutable_recent_ns() = x.recent_ns();
  s.set_at_ns(x.at_ns());
  s.set_delay_ns(x.delay_ns());
  s.set_of(x.of());
  s.set_reason(x.reason());
  s.set_seq(r.seq());
}

void begin_run(journal::RestartState& s, bool by_policy) {
  s.set_by_policy(by_policy);
  s.set_ended_by_person(false);
  s.set_unhealthy(false);
  s.set_overtime(false);
  s.set_oom(false);
  s.set_cut_off(false);
  s.set_pressure(false);
  s.set_at_ns(0);
  s.set_delay_ns(0);
  if (by_policy)
    return;
  const auto total = s.total(); // Whoever starts it lets its policy begin anew.
  s.Clear();
  s.set_total(total);
}

/// Whether the record says anything about restarts. @param s Changed by it.
/// @param over It has ended, and nothing follows.
bool change(journal::RestartState& s, const Record& r, bool over) {
  switch (r.body_case()) {
  case Record::kRestartScheduled:
    schedule(s, r);
    return true;
  case Record::kRestartCancelled:
    s.set_at_ns(0);
    s.set_ended_by_person(true);
    return true;
  case Record::kGivenUp:
    s.set_at_ns(0);
    s.set_reason(r.given_up().reason());
    s.set_of(r.given_up().of());
    s.set_seq(r.seq());
    return true;
  case Record::kStarting:
    if (r.starting().fresh())
      begin_run(s, r.starting().by_policy());
    return r.starting().fresh();
  case Record::kStartFailed:
    s.set_cut_off(r.start_failed().cut_off());
    return r.start_failed().cut_off();
  case Record::kStopping:
    s.set_ended_by_person(s.ended_by_person() || r.stopping().reason().empty()
                          || r.stopping().final());
    s.set_unhealthy(r.stopping().reason() == "unhealthy");
    s.set_overtime(r.stopping().reason() == "max-run-time");
    s.set_oom(r.stopping().reason() == "oom");
    s.set_pressure(r.stopping().reason() == "pressure");
    return true;
  case Record::kDeleting:
    s.set_ended_by_person(true);
    return true;
  case Record::kUpdated: // A policy has nothing to say about what ended before it came.
    if (over && r.updated().has_restart())
      s.set_ended_by_person(true);
    return over && r.updated().has_restart();
  case Record::kKilled:
    if (r.killed().final())
      s.set_ended_by_person(true);
    if (r.killed().reason() == "oom")
      s.set_oom(true);
    return r.killed().final() || r.killed().reason() == "oom";
  default:
    return false;
  }
}

} // namespace

void world::impl::follow_restarts(container_view& c, const Record& r) {
  if (!c.restarts)
    return;
  auto state = restart_state_of(c);
  if (change(state, r, c.state == v1::STOPPED))
    c.restart_state = state.SerializeAsString();
  if (c.state == v1::DELETING)
    return;
  if (r.body_case() == Record::kRestartScheduled)
    c.state = v1::RESTARTING;
  else if (r.body_case() == Record::kGivenUp)
    c.state = v1::DEAD;
  else if (r.body_case() == Record::kRestartCancelled)
    c.state = v1::STOPPED;
}

void set_policies(container_view& c, const v1::ContainerSpec& spec) {
  const auto ladder = parse_ladder(spec.health().on_unhealthy());
  c.restarts = spec.has_restart() || (ladder && ladder->restarts())
               || spec.oom_policy() == "restart" || spec.pressure_policy() == "restart";
  c.has_health = !spec.health().probes().empty() || spec.has_notify();
  c.has_after = !spec.after().empty();
  c.max_run_ns = spec.max_run_ns();
}

void fill_restart(const container_view& c, v1::Container& out) {
  const auto s = restart_state_of(c);
  if (s.reason().empty())
    return;
  auto* x = out.mutable_restart();
  x->set_attempt(s.in_a_row());
  x->set_of(s.of());
  x->set_total(s.total());
  x->set_next_ns(s.at_ns());
  x->set_reason(s.reason());
}

} // namespace gantry::runtime
