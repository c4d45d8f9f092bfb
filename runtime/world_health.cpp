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
  auto& kept = kept_of(s, x.role());
  *kept.mutable_now() = x.now();
  if (!x.has_result())
    return;
  *kept.add_results() = x.result();
  if (const int over = kept.results_size() - int(x.keep()); over > 0)
    kept.mutable_results()->DeleteSubrange(0, over);
}

} // namespace

void world::impl::follow_health(container_view& c, const journal::Record& r) {
  if (!c.has_health)
    return;
  journal::HealthState state;
  if (r.has_started()) { // Each run has its own.
    state.set_status("starting");
    state.set_started_ns(r.time_ns());
  } else if (r.has_probe_ended()) {
    state.ParseFromString(c.health);
    take_result(state, r.probe_ended());
  } else {
    return;
  }
  c.health = state.SerializeAsString();
}

void fill_health(const container_view& c, v1::Container& out) {
  const bool up = c.state == v1::RUNNING || c.state == v1::PAUSING || c.state == v1::PAUSED
                  || c.state == v1::CHECKPOINTING || c.state == v1::STOPPING;
  journal::HealthState state;
  if (up && c.has_health && state.ParseFromString(c.health))
    out.set_health(state.status());
}

} // namespace gantry::runtime
