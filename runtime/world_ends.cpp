#include <algorithm>

#include "runtime/world_impl.hpp"

// What a settled exit and an update change.

namespace gantry::runtime {

namespace {
using phase = process_view::phase_t;
} // namespace

void world::impl::exited(container_view& c, const journal::Record& r) {
  auto* p = find_process(c, r.process());
  if (p->exit)
    return; // Exactly one.
  p->phase = phase::exited;
  p->died.clear();
  p->died.shrink_to_fit();
  p->op = 0;
  p->exit = r.exited().exit();
  p->exit->set_seq(r.seq());
  if (p->exit->oom() && p->run == std::max(c.run, 1u))
    ++c.oom_claimed;
  if (p->id != init_id)
    return;
  c.paused = false;
  if (c.state == v1::DELETING || c.state == v1::CHECKPOINTING) { // They have their own end.
    c.before = v1::STOPPED;
    return;
  }
  c.state = v1::STOPPED;
  end_intent(c);
}

void world::impl::updated(container_view& c, const journal::Updated& changed) {
  v1::ContainerSpec spec;
  if (!spec.ParseFromString(c.spec))
    return;
  // A field of 0 or empty means "unchanged", which is what a proto3 merge does.
  spec.mutable_resources()->MergeFrom(changed.resources());
  if (changed.has_restart())
    *spec.mutable_restart() = changed.restart();
  if (changed.has_health())
    *spec.mutable_health() = changed.health();
  set_policies(c, spec);
  c.spec = spec.SerializeAsString();
}

/// What it explains, and which request asked for it.
void killed(container_view& c, const journal::Record& r) {
  auto* target = find_process(c, r.process());
  if (target != nullptr && !r.request_id().empty()) {
    target->kill_request = r.request_id();
    target->kill_seq = r.seq();
  }
  if (auto* p = target;
      p != nullptr && p->phase < phase::died && !r.killed().reason().empty()) {
    p->ended_by = r.killed().reason();
    p->ended_signal = r.killed().signal();
  }
  if (r.killed().all()) {
    for (auto& p : c.processes)
      if (p.phase < phase::died)
        p.cause = r.seq();
  } else if (auto* p = find_process(c, r.process()); p != nullptr && p->phase < phase::died) {
    p->cause = r.seq();
  }
}

} // namespace gantry::runtime
