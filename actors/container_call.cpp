#include "actors/container.hpp"
#include "io/log.hpp"
#include "runtime/check_words.hpp"

// Probes whose turn has to come, and those that need no process: a connection in the container's
// network, or a look beneath its root. Of the latter nothing is recorded but their results: one
// that a crash cuts off is asked again at once.

namespace gantry::actors {

void container_state::call_probe(size_t which) {
  auto& h = *health_;
  const auto& p = h.policy.probes[which];
  const auto& key = processes_[init].key;
  const runtime::probe_target whom{key.pid, key.start_ticks, host->reaper.pidfd_of(key)};
  if (whom.pidfd < 0)
    return drop_probe(which, refusal("it is ending"));
  auto& call = h.calls[which];
  if (call && call->hangs()) { // Each holds a worker of the ring: one is enough.
    runtime::probe_result r;
    r.what = runtime::probe_result::label::timeout;
    r.began_ns = r.ended_ns = host->loop.sys().realtime().count();
    r.output = "the one before still hangs in " + p.question.path;
    h.answers.emplace_back(which, std::move(r));
    caf::anon_send(container_actor{self}, atom::probe::value);
    return;
  }
  call = std::make_unique<runtime::probe_call>(
    host->loop, host->path_probes, p, h.policy.output_bytes, whom,
    while_here([this, which](result<runtime::probe_result> r) {
      health_->answers.emplace_back(which, std::move(r));
      caf::anon_send(container_actor{self}, atom::probe::value);
    }));
}

/// Nobody waits for a turn or an answer any more.
void container_state::drop_calls() {
  for (auto& [which, call] : health_->calls)
    call->abandon();
  health_->answers.clear();
  health_->turns.clear();
  health_->granted.clear();
  health_->throttled.clear();
  health_->waits = std::make_shared<int>(0);
}

/// Whether a failure can be for want of CPU time. After each change of them.
void container_state::look_at_limits() {
  v1::ContainerSpec spec;
  if (!health_ || view() == nullptr || !spec.ParseFromString(view()->spec))
    return;
  health_->limited = runtime::quota_of(spec.resources()) > 0;
  for (size_t i = 0; i < health_->state.probes.size(); ++i)
    if (health_->limited && health_->state.probes[i].runs && !health_->throttled.contains(i))
      health_->throttled[i] = group().throttled_ns(); // From now on: it was begun before.
}

/// An exec probe, where so many at a time are allowed: its clock starts when it is its turn.
void container_state::await_turn(size_t which) {
  std::weak_ptr<int> wanted = health_->waits;
  host->exec_probes.ask([this, which, wanted](runtime::permits::permit p) {
    if (wanted.expired())
      return; // So are we, perhaps.
    health_->turns[which] = std::move(p);
    health_->granted.push_back(which);
    caf::anon_send(container_actor{self}, atom::probe::value);
  });
}

void container_state::take_turns() {
  if (!health_ || at_ != phase::running)
    return;
  for (const auto which : std::exchange(health_->granted, {})) {
    health_->state.probes[which].began_ns = host->loop.sys().realtime().count();
    begin_exec_probe(which);
  }
}

/// What follows from one may be the end of the run, and of all others.
void container_state::take_answers() {
  while (health_ && !health_->answers.empty()) {
    auto [which, r] = std::move(health_->answers.front());
    health_->answers.pop_front();
    if (r) {
      take_result(which, std::move(*r), 0);
      continue;
    }
    io::log_warn("container={}: a probe is left out: {}", who.id, r.why().text());
    drop_probe(which, r.why());
    arm_probes();
  }
}

} // namespace gantry::actors
