#include <algorithm>
#include <cerrno>
#include <poll.h>

#include "actors/container.hpp"
#include "actors/notify_socket.hpp"
#include "io/log.hpp"
#include "runtime/health_messages.hpp"

// What a container says at its notify socket. What that costs is bounded, however much it says.
//
// Cost of a datagram, of gantryd as a whole on a busy machine of two cores, in a flood that is read
// at the pace below: 12 us of one from init; 19 us of one from another process, whose cgroup is
// looked up in /proc. A flood is 0.5 % of a core. What changes something costs a record as well.

namespace gantry::actors {

namespace {

/// So many are read in a turn of the loop, or one that leads to a record …
constexpr int datagrams_a_turn = 16;
/// … a turn each 50 ms in the long run, which is 320 datagrams a second, or 20 …
constexpr int64_t turn_ns = 50'000'000;
/// … and so many turns in a row, where none were needed before.
constexpr int64_t most_turns = 20;

/// A deadline that has passed waits so long for what lies in front of a WATCHDOG=1.
constexpr int64_t flood_patience_ns = 1'000'000'000;

/// If it has said that it stops: it has as long as for a stop that somebody asks for.
void follow_own_stop(services& host, const runtime::container_view& c, notifying& n) {
  if (!n.state.stopping || n.state.in_grace || n.state.due_ns != 0)
    return;
  v1::ContainerSpec spec;
  spec.ParseFromString(c.spec);
  const auto timeout = spec.stop_timeout_ns() > 0 ? io::nanoseconds{spec.stop_timeout_ns()}
                                                  : host.options.stop_timeout;
  n.state.due_ns = (host.loop.now() + timeout).count();
  n.state.limit_ns = n.state.due_ns + n.policy.extend_max_ns;
}

} // namespace

/// For the run that is being made.
result<void> container_state::make_notify() {
  close_notify();
  if (!making_->spec.has_notify())
    return {};
  auto made = make_notify_socket(*host, processes_[init].serial);
  if (!made)
    return error{made.why().code, "container \"" + who.id + "\": " + made.why().message,
                 made.why().cure};
  notify_socket_ = std::move(*made);
  return {};
}

void container_state::close_notify() {
  if (!notify_ && !notify_socket_)
    return;
  const auto serial = notify_ ? notify_->serial : processes_[init].serial;
  notify_.reset();
  notify_socket_.reset();
  close_notify_socket(*host, serial);
}

void container_state::follow_notify() {
  switch (at_) {
    case phase::running:
      if (!notify_)
        return open_notify();
      runtime::thaw_notify(notify_->policy, notify_->state, host->loop.now().count());
      follow_own_stop(*host, *view(), *notify_);
      if (runtime::must_be_kept(notify_->state, notify_->kept_due_ns))
        record_notified({});
      return arm_notify(host->loop.now().count(), notify_->poll.waiting());
    case phase::pausing:
    case phase::paused:
    case phase::checkpointing:
      if (notify_)
        notify_->kept_due_ns = 0; // It begins anew: see `world`.
      return;
    case phase::creating:
    case phase::created:
    case phase::waiting:
    case phase::starting:
    case phase::stopping: // It may ask for more time.
      return;
    case phase::stopped:
    case phase::restarting:
    case phase::dead:
    case phase::deleting:
    case phase::gone:
    case phase::count_:
      return close_notify();
  }
}

void container_state::adopt_notify() {
  v1::ContainerSpec spec;
  if (view()->init() == nullptr || !spec.ParseFromString(view()->spec) || !spec.has_notify())
    return;
  switch (at_) {
    case phase::creating:
    case phase::created:
    case phase::waiting:
    case phase::starting:
      return;
    case phase::running:
    case phase::pausing:
    case phase::paused:
    case phase::checkpointing:
      return open_notify();
    case phase::stopping: {
      open_notify();
      const auto spent = host->loop.sys().realtime().count() - view()->intent_at_ns;
      return begin_notify_grace(io::nanoseconds{view()->stop_timeout_ns - spent});
    }
    default: // A crash may have come between its end and this.
      notify_socket_.reset();
      close_notify_socket(*host, view()->init()->serial);
  }
}

/// It is up. What it has said until now lies in the socket.
void container_state::open_notify() {
  v1::ContainerSpec spec;
  spec.ParseFromString(view()->spec);
  if (notify_ || !spec.has_notify())
    return;
  const auto serial = processes_[init].serial;
  if (!notify_socket_) { // Lost with the keeper; the directory in the container is the same.
    auto made = make_notify_socket(*host, serial);
    if (!made)
      return io::log_warn("container={}: it is not heard: {}", who.id, made.why().text());
    notify_socket_ = std::move(*made);
  }
  const auto policy = runtime::notify_policy_of(spec);
  notify_ = std::make_unique<notifying>(*host, serial);
  if (policy && *policy) // A later version's would not: it was checked when it was made.
    notify_->policy = **policy;
  journal::HealthState kept;
  kept.ParseFromString(view()->health);
  const auto now = host->loop.now().count();
  if (kept.has_notify()) {
    notify_->state = runtime::notify_state_of(notify_->policy, kept.notify(), now);
    runtime::make_up_for(notify_->state);
    if (at_ == phase::running)
      follow_own_stop(*host, *view(), *notify_);
    notify_->kept_due_ns = kept.notify().due_ns();
  } else {
    notify_->state = runtime::begin_notify(notify_->policy, now);
  }
  notify_->turns_ns = most_turns * turn_ns;
  notify_->turns_at_ns = now;
  notify_->number = notify_socket_.get();
  notify_->poll.start(host->loop, std::move(notify_socket_), POLLIN, while_here([this](int32_t) {
                        caf::anon_send(container_actor{self}, atom::probe::value);
                      }));
  if (kept.restored() && !notify_->state.ready) { // It said so before the checkpoint.
    const auto before = notify_->state;
    runtime::notify_message said;
    said.ready = true;
    settle_notices(before, runtime::hear(notify_->policy, notify_->state, said, now));
  }
  // What was made up for is not: another crash would make up for it again.
  if (at_ == phase::running && notify_->kept_due_ns == 0
      && runtime::must_be_kept(notify_->state, 0))
    record_notified({});
  arm_notify(now, true);
}

/// Reads what there is, as fast as it may be read, and looks whether something is overdue.
void container_state::hear_notices() {
  if (!notify_)
    return;
  const auto now = host->loop.now().count();
  const auto due = notify_->state.due_ns;
  const bool overdue = due != 0 && now >= due;
  bool drained = notify_->poll.waiting();
  if (overdue || (!drained && may_read_notices(now)))
    drained = read_notices(now); // What was said in time comes first.
  if (notify_)
    judge_deadline(now, drained);
  if (notify_)
    arm_notify(now, drained);
}

bool container_state::may_read_notices(int64_t now_ns) {
  auto& n = *notify_;
  n.turns_ns = std::min(most_turns * turn_ns, n.turns_ns + now_ns - n.turns_at_ns);
  n.turns_at_ns = now_ns;
  if (n.turns_ns < turn_ns)
    return false;
  n.turns_ns -= turn_ns;
  return true;
}

/// One after the other, until one has led to a record: so those are few, too. Each is taken away
/// when what follows from it is done: one that a crash cuts off is heard again, which says nothing
/// new.
/// @returns whether nothing is left.
bool container_state::read_notices(int64_t now_ns) {
  char bytes[runtime::max_notify_bytes];
  char front[1];
  auto& sys = host->loop.sys();
  for (int i = 0; i < datagrams_a_turn; ++i) {
    io::datagram_note note;
    const auto n = sys.take_datagram(notify_->number, bytes, note);
    if (n < 0) {
      if (n != -EAGAIN)
        io::log_warn("container={}: its notify socket: {}", who.id,
                     from_errno(int(-n), "read", "it").text());
      return true;
    }
    auto& state = notify_->state;
    const auto known = host->ledger.file().last_seq();
    if (note.cut || !is_heard(note.pid)) {
      ++state.refused;
    } else {
      const auto before = state;
      const auto m = runtime::parse_notify({bytes, size_t(n)});
      settle_notices(before, runtime::hear(notify_->policy, state, m, now_ns));
    }
    if (!notify_)
      return true;
    (void)sys.read(notify_->number, front);
    if (host->ledger.file().last_seq() != known)
      return false;
  }
  return false;
}

/// Every process of the container, or its init alone. Who has ended already is believed: nobody
/// outside can reach the socket but root of the host.
bool container_state::is_heard(int32_t pid) const {
  const auto at = processes_.find(init);
  if (at != processes_.end() && at->second.key.pid == pid && pid > 0)
    return true;
  if (pid <= 0 || notify_->policy.init_only)
    return false;
  return runtime::look_where(host->loop.sys(), pid, host->cgroup_path(who))
         != runtime::whereabouts::outside;
}

/// What follows from what was said, recorded first. @param before The state before that.
void container_state::settle_notices(const runtime::notify_state& before,
                                     const runtime::notify_step& step) {
  follow_own_stop(*host, *view(), *notify_);
  const auto now = notify_->state;
  const bool became_ready = now.ready && !before.ready;
  const bool stops = now.stopping && !before.stopping;
  const bool reloads = now.reloading != before.reloading;
  if (became_ready) { // Its readiness and its health, or neither.
    const auto both = host->ledger.together();
    const auto seq = record_notified("ready");
    judge_notices(true, "READY=1" + (now.status.empty() ? "" : "; its status: " + now.status), seq);
  }
  if (reloads)
    record_notified(now.reloading ? "reloading" : "reloaded");
  if (stops)
    record_notified("stopping");
  if (step.put_off && at_ == phase::stopping)
    put_off_grace();
  else if (!became_ready && !reloads && !stops
           && (step.told || runtime::must_be_kept(now, notify_->kept_due_ns)))
    record_notified({});
  const auto which = health_ ? runtime::notify_probe(health_->policy) : std::optional<size_t>{};
  if (step.triggered)
    judge_notices(false, "it has said WATCHDOG=trigger"
                           + (now.status.empty() ? "" : "; its status: " + now.status), 0);
  else if (step.alive && which && health_->state.probes[*which].failed)
    judge_notices(true, "WATCHDOG=1", 0);
}

/// @param what The event; empty: none.
uint64_t container_state::record_notified(const std::string& what) {
  auto r = record();
  auto* x = r.mutable_notified();
  x->set_what(what);
  *x->mutable_now() = runtime::kept_notify(notify_->state);
  if (at_ != phase::running && at_ != phase::stopping)
    x->mutable_now()->set_due_ns(0); // It is kept still, and begins anew.
  const bool ready = health_ ? health_->state.ready : runtime::is_ready(*view());
  x->set_was_ready(ready);
  x->set_ready(ready && !notify_->state.stopping);
  if (what == "stopping" && health_)
    runtime::stop_being_ready(health_->state);
  notify_->kept_due_ns = x->now().due_ns();
  return host->ledger.record(r);
}

/// Its own word is one of its probes.
void container_state::judge_notices(bool well, std::string text, uint64_t cause) {
  const auto which = health_ ? runtime::notify_probe(health_->policy) : std::optional<size_t>{};
  if (!which)
    return; // It is being stopped.
  using label = runtime::probe_result::label;
  runtime::probe_result r;
  r.what = well ? label::passed : label::failed;
  r.began_ns = r.ended_ns = host->loop.sys().realtime().count();
  r.output = std::move(text);
  take_result(*which, std::move(r), cause);
}

void container_state::judge_deadline(int64_t now_ns, bool drained) {
  auto& state = notify_->state;
  if (at_ != phase::running || state.due_ns == 0 || now_ns < state.due_ns)
    return;
  if (!drained && now_ns - state.due_ns < flood_patience_ns)
    return;
  if (state.stopping) {
    state.due_ns = 0;
    v1::StopRequest req;
    req.set_signal("KILL");
    req.set_timeout_ns(0);
    happen(event::stop, [this, req, seq = record_notified("overdue")] {
      if (at_ == phase::running)
        begin_stop({}, req, {.reason = "overdue", .final = false, .cause = seq});
    });
    return;
  }
  auto text = runtime::miss_deadline(notify_->policy, state, now_ns);
  const auto seq = record_notified({});
  judge_notices(false, std::move(text), seq);
}

/// @param drained There is nothing to read now.
void container_state::arm_notify(int64_t now_ns, bool drained) {
  auto& n = *notify_;
  if (drained && !n.poll.waiting())
    n.poll.start(host->loop, n.number, POLLIN, while_here([this](int32_t) {
                   caf::anon_send(container_actor{self}, atom::probe::value);
                 }));
  if (!drained && n.turns_ns >= turn_ns) { // Others come first: this is a message behind theirs.
    caf::anon_send(container_actor{self}, atom::probe::value);
    return;
  }
  n.timer.reset();
  const bool watched = at_ == phase::running && n.state.due_ns != 0;
  if (drained && !watched)
    return;
  const auto next = drained ? n.state.due_ns : now_ns + turn_ns;
  n.timer = std::make_unique<io::timer>(host->loop);
  n.timer->start(io::nanoseconds{std::max<int64_t>(0, next - now_ns)}, while_here([this] {
                   caf::anon_send(container_actor{self}, atom::probe::value);
                 }));
}

/// Its stop has so long; 0: it is killed.
void container_state::begin_notify_grace(io::nanoseconds grace) {
  if (notify_)
    runtime::begin_grace(notify_->policy, notify_->state, grace.count(), host->loop.now().count());
}

/// It has asked for more time while it is being stopped.
void container_state::put_off_grace() {
  const auto left = notify_->state.due_ns - host->loop.now().count();
  auto r = record();
  r.set_cause(stop_seq_);
  auto* x = r.mutable_notified();
  *x->mutable_now() = runtime::kept_notify(notify_->state);
  x->set_stop_timeout_ns(host->loop.sys().realtime().count() - view()->intent_at_ns + left);
  host->ledger.record(r);
  extend_grace(io::nanoseconds{left});
}

} // namespace gantry::actors
