#include "actors/container.hpp"
#include "actors/evidence.hpp"
#include "actors/hook_run.hpp"
#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "runtime/health_messages.hpp"

// What is done about a container that is unhealthy: a step of its ladder, recorded before it is
// done; and what it looked like before the supervisor ended it, which is kept.

namespace gantry::actors {

/// The next step is due. @param cause What made it so.
void container_state::act_on_illness(uint64_t cause) {
  if (!health_ || !health_->state.acts || at_ != phase::running)
    return;
  const auto next =
    runtime::next_attempt(health_->policy.on_unhealthy, health_->state.actions);
  if (!next.act.captures())
    take_step(cause, 0);
  else if (!capturing_)
    capture("unhealthy", cause,
            [this](uint64_t seq, uint64_t evidence) { take_step(seq, evidence); });
}

/// It may be well again, or be ended by somebody, since the step became due.
void container_state::take_step(uint64_t cause, uint64_t evidence) {
  if (!health_ || !health_->state.acts || at_ != phase::running)
    return;
  const auto next =
    runtime::next_attempt(health_->policy.on_unhealthy, health_->state.actions);
  auto r = record();
  r.set_cause(cause);
  auto* x = r.mutable_health_action();
  x->set_what(runtime::text_of(next.act));
  x->set_number(next.number);
  x->set_step(next.step);
  x->set_steps(next.steps);
  x->set_attempt(next.attempt);
  x->set_of(next.of);
  x->set_evidence(evidence);
  const auto seq = host->ledger.record(r);
  health_->state.actions = next.number;
  health_->state.acts = false;
  do_act(next.act, seq, evidence);
}

/// @param evidence Its number, for a hook.
void container_state::do_act(const runtime::unhealthy_act& act, uint64_t cause,
                             uint64_t evidence) {
  using kind = runtime::unhealthy_act::kind;
  switch (act.what) {
    case kind::none:
    case kind::capture: return;
    case kind::signal:
      record_kill(init, act.signal, false, nullptr, {}, cause);
      if (auto sent = signal_process(processes_[init], act.signal); !sent)
        io::log_warn("container={}: {}", who.id, sent.why().text());
      return;
    case kind::freeze: return freeze_ill(cause);
    case kind::hook: return call_hook(act.program, cause, evidence);
    case kind::restart:
    case kind::kill:
    case kind::stop: break;
  }
  v1::StopRequest req;
  if (act.what == kind::kill) {
    req.set_signal("KILL");
    req.set_timeout_ns(0);
  }
  happen(event::stop, [this, req, cause, final = act.what == kind::stop] {
    if (at_ != phase::stopping && !over())
      begin_stop({}, req, {.reason = "unhealthy", .final = final, .cause = cause});
  });
}

/// Somebody may look at it; a resume lets it go on.
void container_state::freeze_ill(uint64_t cause) {
  happen(event::pause, [this, cause] {
    if (at_ != phase::running)
      return;
    if (execs_making_ > 0) { // As a client's pause.
      ++pauses_waiting_;
      waiting_.push_back([this, cause] {
        --pauses_waiting_;
        freeze_ill(cause);
      });
      return;
    }
    begin_pause({}, {}, std::nullopt, cause);
  });
}

/// A step that an earlier life, or a pause, has left undone.
void container_state::resume_ladder() {
  if (!health_ || at_ != phase::running)
    return;
  journal::HealthState kept;
  kept.ParseFromString(view()->health);
  if (kept.acting().empty()) {
    act_on_illness(kept.action_due());
    return;
  }
  if (const auto act = runtime::parse_unhealthy(kept.acting()))
    do_act(*act, kept.action_due(), 0);
}

/// @param number The seq of its step's record.
void container_state::call_hook(const std::string& program, uint64_t number, uint64_t evidence) {
  const auto& entry = processes_[init];
  std::vector<std::string> env{
    "GANTRY_CONTAINER=" + who.id,
    "GANTRY_NAMESPACE=" + who.ns,
    "GANTRY_INSTANCE=" + std::to_string(instance_),
    "GANTRY_RUN=" + std::to_string(run_),
    "GANTRY_PID=" + std::to_string(entry.key.pid),
    "GANTRY_REASON=unhealthy",
  };
  if (!host->bus_socket.empty())
    env.push_back("GANTRY_SOCKET=" + host->bus_socket);
  if (evidence != 0)
    env.push_back("GANTRY_EVIDENCE=" + std::to_string(evidence));
  run_hook(*host, {who, number, program}, std::move(env),
           while_here([this, number](journal::Record r) { record_hook(number, std::move(r)); }));
}

/// Those of an earlier life that have not ended, as far as the records know.
void container_state::adopt_hooks() {
  journal::HealthState kept;
  kept.ParseFromString(view()->health);
  for (const auto& h : kept.hooks()) {
    auto tell = while_here([this, number = h.number()](journal::Record r) {
      record_hook(number, std::move(r));
    });
    adopt_hook(*host, {who, h.number(), h.program()}, {h.pid(), h.start_ticks()}, tell);
  }
}

void container_state::record_hook(uint64_t number, journal::Record r) {
  if (view() == nullptr)
    return;
  r.MergeFrom(record());
  r.set_cause(number);
  host->ledger.record(r);
}

/// Keeps what it looks like; then `then`, within a second, unless somebody has ended it meanwhile.
/// @param then Gets the cause of what follows, and the evidence's number (0: none was kept).
void container_state::capture(const std::string& reason, uint64_t cause,
                              std::function<void(uint64_t, uint64_t)> then) {
  if (capturing_) { // For another reason: once is enough.
    then(cause, 0);
    return;
  }
  capturing_ = true;
  v1::EvidenceKept what;
  what.set_number(host->ledger.now().take_serial());
  what.set_taken_ns(host->loop.sys().realtime().count());
  what.set_run(run_);
  what.set_reason(reason);
  const auto serial = processes_[init].serial;
  capture_evidence(*host, *view(), std::move(what),
                   while_here([this, serial, cause, then](const v1::EvidenceKept& kept) {
                     capturing_ = false;
                     const auto* p = view() != nullptr ? view()->init() : nullptr;
                     if (p == nullptr || p->serial != serial)
                       return; // It went with its log.
                     const auto seq = kept.bytes() == 0 ? cause : keep_evidence(kept, cause);
                     const bool up = at_ == phase::running || at_ == phase::pausing
                                     || at_ == phase::paused || at_ == phase::checkpointing;
                     if (up && run_ == kept.run())
                       then(seq, kept.bytes() == 0 ? 0 : kept.number());
                   }));
}

uint64_t container_state::keep_evidence(const v1::EvidenceKept& kept, uint64_t cause) {
  auto r = record();
  r.set_cause(cause);
  *r.mutable_evidence_taken()->mutable_what() = kept;
  const auto seq = host->ledger.record(r);
  sweep_evidence();
  return seq;
}

/// Removes the files of evidence that nobody knows of (any more).
void container_state::sweep_evidence() {
  const auto* p = view() != nullptr ? view()->init() : nullptr;
  if (p == nullptr || (view()->evidence.empty() && !view()->has_health))
    return;
  const auto dir = host->log_dir(p->serial);
  std::vector<std::string> names;
  host->loop.sys().list(dir, names);
  std::erase_if(names, [](const auto& n) { return !n.starts_with("evidence."); });
  for (const auto& one : known_evidence(*view(), host->loop.sys().realtime().count()))
    std::erase_if(names, [known = "evidence." + hex16(one.number())](const auto& n) {
      return n == known;
    });
  for (const auto& name : names) {
    auto op = std::make_shared<io::path_op>(host->loop);
    op->unlink(dir + "/" + name, [op](int32_t) {});
  }
}

} // namespace gantry::actors
