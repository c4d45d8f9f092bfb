#include <algorithm>

#include "actors/container.hpp"
#include "io/log.hpp"
#include "runtime/policy_messages.hpp"

// A start that waits for other containers. It is made already; what it waits for is judged anew
// after each record about one of them, and when its time is over.

namespace gantry::actors {

runtime::after_policy container_state::after() const {
  v1::ContainerSpec spec;
  if (!view()->has_after || !spec.ParseFromString(view()->spec))
    return {};
  auto out = runtime::after_policy_of(spec);
  if (out)
    return std::move(*out);
  // A later version's: it was checked when the container was made.
  io::log_warn("container={}: its start waits for nothing: {}", who.id, out.why().text());
  return {};
}

runtime::after_outlook container_state::outlook(const runtime::after_policy& policy,
                                                int64_t since_ns) const {
  auto& sys = host->loop.sys();
  return runtime::look_ahead(host->ledger.now(), who, policy, since_ns, sys.realtime().count(),
                             [&sys](int32_t pid, uint64_t start_ticks) {
                               return sys.start_ticks(pid) == int64_t(start_ticks);
                             });
}

/// Whether a start that somebody asks for has a future.
/// @param at_once It goes on from a checkpoint, and runs as soon as it is made.
result<void> container_state::may_start(bool at_once) const {
  const auto x = outlook(after(), host->loop.sys().realtime().count());
  using what = runtime::after_verdict::what;
  if (x.is == what::never || (x.is == what::waits && at_once))
    return runtime::never_starts(who, x);
  return {};
}

/// The second step of what is made. @param cause Of the wait, if it has to wait.
/// @returns whether it is being started; else it waits.
bool container_state::start_or_wait(uint64_t cause) {
  const auto policy = after();
  const auto now = host->loop.sys().realtime().count();
  const auto x = outlook(policy, now);
  if (x.is == runtime::after_verdict::what::met) {
    making_->op = host->next_op++;
    begin_start(making_->by, making_->request_id, making_->op);
    return true;
  }
  auto r = record(making_->by, making_->request_id);
  r.set_cause(cause);
  for (const auto& u : x.unmet)
    *r.mutable_waiting()->add_unmet() = u;
  r.mutable_waiting()->set_timeout_ns(policy.timeout_ns);
  host->ledger.record(r);
  happen(event::must_wait, [this] {
    enter(phase::waiting);
    if (at_ == phase::waiting) // What somebody asked for meanwhile comes first.
      watch_others();
  });
  return false;
}

void container_state::watch_others() {
  wait_ = std::make_unique<after_wait>();
  wait_->policy = after();
  auto ask = while_here([this, w = wait_.get()] {
    if (wait_.get() == w && !std::exchange(w->asked, true))
      caf::anon_send(container_actor{self}, atom::after::value);
  });
  wait_->watch = host->ledger.on_record([this, w = wait_.get(), ask](const auto& r) mutable {
    if (r.namespace_() == who.ns && w->names(r.container()))
      ask();
  });
  if (const auto timeout = wait_->policy.timeout_ns; timeout > 0) {
    // By the clock on the wall: the time without a supervisor counts. A clock that was set back
    // makes it no longer than it was.
    const auto left =
      view()->intent_at_ns + timeout - host->loop.sys().realtime().count();
    wait_->timer = std::make_unique<io::timer>(host->loop);
    wait_->timer->start(io::nanoseconds{std::clamp<int64_t>(left, 0, timeout)},
                        [w = wait_.get(), ask]() mutable {
                          w->late = true;
                          ask();
                        });
  }
  ask(); // One of them may be past what can be waited for.
}

void container_state::on_after() {
  if (at_ != phase::waiting || host->ending || !wait_)
    return;
  wait_->asked = false;
  const auto x = outlook(wait_->policy, view()->intent_at_ns);
  using what = runtime::after_verdict::what;
  making_->waited = view()->intent_seq;
  if (x.is == what::met) {
    making_->op = host->next_op++;
    begin_start(making_->by, making_->request_id, making_->op);
    happen(event::may_start, [this] { enter(phase::starting); });
  } else if (x.is == what::never) {
    fail_start(std::exchange(making_, nullptr), runtime::never_starts(who, x));
  } else if (wait_->late) {
    fail_start(std::exchange(making_, nullptr),
               runtime::waited_too_long(who, x, wait_->policy.timeout_ns));
  }
}

/// Made, and never to be started in this run.
void container_state::fail_start(const std::shared_ptr<making>& work, const error& why) {
  auto r = record(work->by, work->request_id);
  r.set_cause(work->waited);
  auto* f = r.mutable_start_failed();
  f->set_code(std::string{name_of(why.code)});
  f->set_message(why.message);
  f->set_cure(why.cure);
  {
    const auto both = host->ledger.together();
    host->ledger.record(r);
    refuse_start(work, why);
  }
  if (auto killed = group().kill_all(); !killed)
    io::log_warn("container={}: {}", who.id, killed.why().text());
  happen(event::start_failed, [this] { come_to_stop(); });
}

/// Tells whoever waits for a start that it will not be.
void container_state::refuse_start(const std::shared_ptr<making>& work, const error& why) {
  if (!work)
    return;
  host->fail_request(work->request_id, work->in_steps ? "Create" : "Start", why);
  for (auto& p : work->starts)
    p.deliver(to_caf(why));
  for (auto& p : work->creates)
    p.deliver(to_caf(why));
}

/// Nobody wants the start to be undone: it waited, or was stopped with all others, and its init
/// went with the host or with the supervisor.
bool container_state::wait_cut_off() const {
  const auto* v = view();
  const bool waited = v->state == v1::WAITING
                      || (v->state == v1::STOPPING && v->before == v1::WAITING);
  return waited && !runtime::restart_state_of(*v).ended_by_person();
}

} // namespace gantry::actors
