#include "runtime/policy_messages.hpp"
#include "runtime/unhealthy_ladder.hpp"
#include "runtime/world_impl.hpp"

// What the records say of a container's health.

namespace gantry::runtime {

namespace {

journal::ProbeKept& kept_of(journal::HealthState& s, const std::string& role) {
  for (auto& k : *s.mutable_probes())
    if (k.role() == role)
      return k;
  s.add_probes()->set_role(role);
  return *s.mutable_probes()->rbegin();
}

void take_result(journal::HealthState& s, const journal::ProbeEnded& x) {
  s.set_status(x.to());
  s.set_ready(x.ready());
  s.set_actions(x.actions());
  s.set_healthy_ns(x.healthy_ns());
  auto& kept = kept_of(s, x.role());
  *kept.mutable_now() = x.now();
  if (!x.has_result())
    return;
  *kept.add_results() = x.result();
  if (const int over = kept.results_size() - int(x.keep()); over > 0)
    kept.mutable_results()->DeleteSubrange(0, over);
}

/// A hook runs from its step until its end, whatever becomes of the container's run.
bool follow_hook(journal::HealthState& s, const journal::Record& r) {
  const auto act = r.has_health_action() ? parse_unhealthy(r.health_action().what())
                                         : result<unhealthy_act>{unhealthy_act{}};
  auto& all = *s.mutable_hooks();
  if (r.has_health_action() && act && act->what == unhealthy_act::kind::hook) {
    auto* h = all.Add();
    h->set_number(r.seq());
    h->set_program(act->program);
    return false; // It is a step, too.
  }
  for (int i = 0; i < all.size(); ++i) {
    if (all[i].number() != r.cause())
      continue;
    if (r.has_hook_began()) {
      all[i].set_pid(r.pid());
      all[i].set_start_ticks(r.hook_began().start_ticks());
    } else if (r.has_hook_ended()) {
      all.DeleteSubrange(i, 1);
    }
    break;
  }
  return r.has_hook_began() || r.has_hook_ended();
}

/// The newest few are kept, and none that is old: whoever records removes the files of the others.
void keep_evidence(container_view& c, const journal::Record& r) {
  const auto& what = r.evidence_taken().what();
  std::vector<std::string> kept;
  for (auto& text : c.evidence)
    if (v1::EvidenceKept one; one.ParseFromString(text)
        && what.taken_ns() - one.taken_ns() < evidence_age_ns)
      kept.push_back(std::move(text));
  kept.push_back(what.SerializeAsString());
  if (kept.size() > most_evidence)
    kept.erase(kept.begin(), kept.end() - most_evidence);
  c.evidence = std::move(kept);
}

} // namespace

void world::impl::follow_pressure(container_view& c, const journal::Record& r) {
  if (r.has_starting() && r.starting().fresh())
    c.pressure.clear();
  if (r.has_pressure_watched()) {
    const auto& why_not = r.pressure_watched().unsupported();
    c.pressure.resize(static_cast<size_t>(why_not.size()));
    for (size_t i = 0; i < c.pressure.size(); ++i) {
      v1::PressureState x;
      x.ParseFromString(c.pressure[i]);
      x.set_unsupported(why_not[static_cast<int>(i)]);
      c.pressure[i] = x.SerializeAsString();
    }
  }
  if (!r.has_pressure() || r.pressure().index() >= c.pressure.size())
    return;
  auto& kept = c.pressure[r.pressure().index()];
  v1::PressureState x;
  x.ParseFromString(kept);
  x.set_crossed(x.crossed() + 1);
  x.set_crossed_ns(r.time_ns());
  x.set_count(r.pressure().count());
  kept = x.SerializeAsString();
}

void world::impl::follow_health(container_view& c, const journal::Record& r) {
  if (r.has_evidence_taken())
    keep_evidence(c, r);
  if (!c.has_health) {
    if (r.has_updated() && r.updated().has_health())
      c.health.clear();
    return;
  }
  journal::HealthState state;
  state.ParseFromString(c.health);
  if (follow_hook(state, r)) {
    c.health = state.SerializeAsString();
    return;
  }
  if (r.has_started()) { // Each run has its own; the ladder goes on over restarts by the policy.
    journal::HealthState next;
    next.set_status("starting");
    next.set_started_ns(r.time_ns());
    next.set_restored(!r.started().checkpoint().empty());
    *next.mutable_hooks() = state.hooks();
    if (restart_state_of(c).by_policy())
      next.set_actions(state.actions());
    state = std::move(next);
  } else if (r.has_probe_ended()) {
    take_result(state, r.probe_ended());
    if (!r.probe_ended().acts())
      state.set_action_due(0);
    else if (state.action_due() == 0)
      state.set_action_due(r.seq());
  } else if (r.has_notified()) {
    *state.mutable_notify() = r.notified().now();
    state.set_ready(r.notified().ready());
    if (r.notified().stop_timeout_ns() > 0)
      c.stop_timeout_ns = r.notified().stop_timeout_ns();
  } else if (r.has_paused() && state.has_notify()) {
    state.mutable_notify()->set_due_ns(0); // It begins anew when it goes on.
  } else if (r.has_health_action()) {
    const auto act = parse_unhealthy(r.health_action().what());
    const bool ends = act && act->ends();
    state.set_actions(r.health_action().number());
    state.set_action_due(ends ? r.seq() : 0);
    state.set_acting(ends ? r.health_action().what() : "");
  } else if (r.has_updated() && r.updated().has_health()) {
    if (state.status().empty()) { // Its first probes.
      state.set_status("starting");
      state.set_started_ns(r.time_ns());
    }
  } else if (r.has_stopping()) {
    state.set_action_due(0);
    state.clear_acting();
  } else {
    return;
  }
  c.health = state.SerializeAsString();
}

namespace {

/// What is known of the run that is; nothing where it is not up.
journal::HealthState state_of(const container_view& c) {
  const bool up = c.state == v1::RUNNING || c.state == v1::PAUSING || c.state == v1::PAUSED
                  || c.state == v1::CHECKPOINTING || c.state == v1::STOPPING;
  journal::HealthState state;
  if (up && c.has_health)
    state.ParseFromString(c.health);
  return state;
}

} // namespace

std::string health_of(const container_view& c) { return state_of(c).status(); }

bool is_ready(const container_view& c) {
  return c.state != v1::STOPPING && state_of(c).ready();
}

bool tells_readiness(const container_view& c) noexcept { return c.has_health; }

void fill_health(const container_view& c, v1::Container& out) {
  const auto state = state_of(c);
  out.set_health(state.status());
  out.set_ready(c.state != v1::STOPPING && state.ready());
  out.set_said(state.notify().status());
}

} // namespace gantry::runtime
