#include <csignal>

#include "actors/container.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"

// Removal, step by step: end, runtime, processes, logs, cgroup, bundle. Each step can be
// done twice: a removal that a crash cut short begins again at the first.

namespace gantry::actors {

namespace {
constexpr int cgroup_patience = 500; ///< Tries, 10 ms apart.
} // namespace

caf::result<v1::RemoveReply> container_state::remove(const v1::By& by,
                                                     const v1::RemoveRequest& req) {
  auto promise = self->make_response_promise<v1::RemoveReply>();
  const auto e = req.force() ? event::remove_force : event::remove;
  attempt<v1::RemoveReply>(e, promise, [this, by, req, promise](const rule&) {
    if (removing_) {
      removing_->waiters.push_back(promise);
      return;
    }
    begin_remove(by, req.request_id(), req.force(), 0);
    removing_->waiters.push_back(promise);
  });
  return promise;
}

void container_state::begin_remove(const v1::By& by, const std::string& request_id, bool force,
                                   uint64_t cause) {
  const bool was_frozen = at_ == phase::paused || at_ == phase::pausing;
  disarm_restart();
  removing_ = std::make_unique<removing>();
  removing_->by = by;
  removing_->request_id = request_id;
  auto r = record(by, request_id);
  r.set_cause(cause);
  r.mutable_deleting()->set_force(force);
  r.mutable_deleting()->set_op(host->next_op++);
  {
    const auto both = host->ledger.together();
    removing_->cause = host->ledger.record(r);
    refuse_start(std::exchange(making_, nullptr), refusal("it was removed before it was started"));
  }
  enter(phase::deleting);
  if (living()) {
    killed_at_ = host->loop.now();
    kill_everything(by, removing_->cause);
    if (was_frozen)
      if (auto thawed = group().thaw(); !thawed)
        io::log_warn("container={}: {}", who.id, thawed.why().text());
    ++stop_number_;
    arm_stuck();
  }
  self->send(self, atom::sweep::value);
}

/// Whether a process of it has not ended yet: each has its exit before the container goes.
bool container_state::living() const {
  return std::any_of(processes_.begin(), processes_.end(), [](const auto& x) {
    return x.second.made && !x.second.ended;
  });
}

void container_state::on_sweep() {
  if (removing_)
    continue_remove();
}

void container_state::continue_remove() {
  using step = removing::step;
  switch (removing_->at) {
    case step::end: {
      if (living() || execs_making_ > 0)
        return; // `settled`, `unstarted` or the last exec goes on.
      removing_->at = step::runtime;
      host->engine.remove(runtime_, runtime::runtime_id(who), true, host->next_op++,
                          [me = container_actor{self}](result<void> x) {
                            outcome out;
                            if (!x)
                              out.failed = x.why();
                            caf::anon_send(me, atom::deleted::value, out);
                          });
      return;
    }
    case step::runtime:
      return; // `deleted` goes on.
    case step::processes: {
      bool living = false;
      for (auto& [id, p] : processes_)
        if (p.actor) {
          living = true;
          self->send(p.actor, atom::release::value);
        }
      if (living)
        return; // `released` goes on.
      removing_->at = step::logs;
      if (const auto* v = view())
        for (const auto& p : v->processes)
          removing_->logs.push_back(p.serial);
      remove_next_log();
      return;
    }
    case step::logs:
    case step::cgroup:
    case step::bundle:
      if (removing_->at == step::cgroup)
        remove_cgroup();
      return;
  }
}

void container_state::on_deleted(const outcome& x) {
  if (!removing_)
    return;
  if (x.failed) {
    fail_remove(*x.failed);
    return;
  }
  removing_->at = removing::step::processes;
  continue_remove();
}

void container_state::fail_remove(error why) {
  auto work = std::move(removing_);
  auto r = record();
  r.set_cause(work->cause);
  r.mutable_state_restored()->set_state(v1::STOPPED);
  r.mutable_state_restored()->set_reason(why.message);
  {
    const auto both = host->ledger.together();
    host->ledger.record(r);
    host->fail_request(work->request_id, "Remove", why);
  }
  happen(event::delete_failed, [this] { enter(phase::stopped); });
  if (remove_on_exit_ && work->waiters.empty() && at_ == phase::stopped) {
    undo_pause_ = std::clamp<io::nanoseconds>(2 * undo_pause_, std::chrono::seconds(1),
                                              std::chrono::seconds(60));
    host->stuck[who] = "it is to be removed, and cannot be (tried again): " + why.message;
    arm_undo();
  }
  for (auto& p : work->waiters)
    p.deliver(to_caf(why));
}

void container_state::remove_next_log() {
  if (removing_->logs.empty()) {
    removing_->at = removing::step::cgroup;
    remove_cgroup();
    return;
  }
  const auto serial = removing_->logs.back();
  removing_->logs.pop_back();
  io::discard_slot(host->keeper.memory(), host->blocks, serial);
  remove_logs(*host, serial, while_here([this] { remove_next_log(); }),
              remove_on_exit_ ? host->readers_return_until : io::nanoseconds{0});
}

void container_state::remove_cgroup() {
  auto g = group();
  const bool stray = removing_->cgroup_tries > 0 && !g.populated();
  if (stray || g.populated()) {
    if (auto killed = stray ? g.kill_strays() : g.kill_all(); !killed)
      io::log_warn("container={}: {}", who.id, killed.why().text());
  }
  if (!g.remove() && ++removing_->cgroup_tries < cgroup_patience) {
    self->delayed_send(self, std::chrono::milliseconds(10), atom::sweep::value);
    return;
  }
  if (removing_->cgroup_tries >= cgroup_patience)
    io::log_warn("container={}: its cgroup {} cannot be removed", who.id, g.path());
  removing_->at = removing::step::bundle;
  auto rest = while_here([this] {
    runtime::remove_bundle(host->loop, host->bundle_dir(instance_),
                           while_here([this] { remove_checkpoints(); }));
  });
  if (!cgroup_watch_) {
    rest();
    return;
  }
  cgroup_watch_->stop(while_here([this, rest]() mutable {
    cgroup_watch_.reset();
    rest();
  }));
}

/// Those that gantry keeps: where a client chose the directory it stays.
void container_state::remove_checkpoints() {
  std::vector<std::string> names;
  if (const auto* v = view())
    for (const auto& text : v->checkpoints)
      if (v1::Checkpoint x; x.ParseFromString(text) && !x.foreign_dir())
        names.push_back(x.name());
  if (names.empty() && host->loop.sys().exists(host->checkpoint_dir(instance_)) != 1) {
    finish_remove();
    return;
  }
  remove_images(*host, host->checkpoint_dir(instance_), std::move(names), true,
                while_here([this] { finish_remove(); }));
}

void container_state::finish_remove() {
  auto work = std::shared_ptr<removing>(std::move(removing_));
  auto r = record(work->by, work->request_id);
  r.set_cause(work->cause);
  r.mutable_deleted();
  std::vector<uint64_t> logs;
  if (const auto* v = view())
    for (const auto& p : v->processes)
      logs.push_back(p.serial);
  v1::RemoveReply reply;
  reply.set_instance(instance_);
  reply.set_run(run_);
  if (const auto* v = view(); v != nullptr && v->init() != nullptr && v->init()->exit)
    *reply.mutable_exit() = *v->init()->exit;
  {
    const auto both = host->ledger.together();
    reply.set_seq(host->ledger.record(r));
    host->finish_request(work->request_id, "Remove", reply);
  }
  if (auto update = std::exchange(updating_, nullptr))
    update->promise->deliver(to_caf(refusal("it has been removed")));
  for (const auto serial : logs)
    host->logs.notify(serial); // Who still follows one sees that it is over.
  happen(event::deleted, [this] { enter(phase::gone); });
  // A delete must survive a power cut before anybody relies on it.
  host->ledger.file().durable(while_here([this, work, reply](result<void> x) {
    if (!x)
      io::log_warn("container={}: its removal is not on the disk: {}", who.id, x.why().text());
    for (auto& p : work->waiters)
      p.deliver(reply);
    for (auto& p : std::exchange(stops_, {}))
      p.deliver(v1::StopReply{});
    say_goodbye();
  }));
  ended_ = true;
  host->stuck.erase(who);
  caf::anon_send(caf::actor_cast<supervisor_actor>(host->supervisor), atom::gone::value, who.ns,
                 who.id);
}

} // namespace gantry::actors
