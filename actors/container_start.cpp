#include "actors/container.hpp"
#include "actors/terminal.hpp"
#include "io/log_files.hpp"
#include "io/log.hpp"

// Start: of what was created, and anew of what has stopped.

namespace gantry::actors {

namespace {

outcome failure(error why) { return {.failed = std::move(why)}; }

} // namespace

caf::result<v1::StartReply> container_state::start(const v1::By& by, const v1::StartRequest& req) {
  auto promise = self->make_response_promise<v1::StartReply>();
  try_start(by, req, promise);
  return promise;
}

void container_state::try_start(const v1::By& by, const v1::StartRequest& req,
                                pending<v1::StartReply> promise) {
  attempt<v1::StartReply>(event::start, promise, [this, by, req, promise](const rule& r) {
    if (auto room = host->room_for_process(who); !room) {
      pending<v1::StartReply>{promise}.deliver(to_caf(room.why()));
      return;
    }
    if (!over() && !(req.checkpoint() + req.checkpoint_dir()).empty()) {
      pending<v1::StartReply>{promise}.deliver(
        to_caf(refusal("it is created: only a stopped one goes on from a checkpoint")));
      return;
    }
    if (auto may = may_start(!(req.checkpoint() + req.checkpoint_dir()).empty()); !may) {
      pending<v1::StartReply>{promise}.deliver(to_caf(may.why()));
      return;
    }
    if (over()) {
      if (const auto& last = processes_[init].actor) {
        // Somebody still holds the last run's streams open: `released` asks again.
        self->send(last, atom::release::value);
        waiting_.push_back([this, by, req, promise] { try_start(by, req, promise); });
        return;
      }
      if (execs_making_ > 0) { // They would come into the new run: its last one asks again.
        waiting_.push_back([this, by, req, promise] { try_start(by, req, promise); });
        return;
      }
      begin_fresh_run(by, req, promise);
      return;
    }
    making_ = std::make_shared<making>();
    making_->by = by;
    making_->request_id = req.request_id();
    making_->starts.push_back(promise);
    if (start_or_wait(0))
      enter(r.next);
  });
}

void container_state::begin_start(const v1::By& by, const std::string& request_id, uint64_t op) {
  auto r = record(by, request_id);
  r.set_cause(making_->waited);
  r.mutable_starting()->set_op(op);
  host->ledger.record(r);
  host->engine.start(runtime_, runtime::runtime_id(who), host->bundle_dir(instance_), op,
                     [me = container_actor{self}](result<void> x) {
                       caf::anon_send(me, atom::started::value, x ? outcome{} : failure(x.why()));
                     });
}

/// Of a create that started in a second step: the client waits for the disk, too.
void container_state::answer_create(const std::shared_ptr<making>& work) {
  v1::CreateReply created;
  created.set_instance(instance_);
  created.set_pid(processes_[init].key.pid);
  created.set_process_serial(processes_[init].serial);
  host->finish_request(work->request_id, "Create", created);
  auto answer = [work, created] {
    for (auto& p : work->creates)
      p.deliver(created);
  };
  if (work->durable)
    answer();
  else
    work->when_durable = std::move(answer);
}

void container_state::on_started(const outcome& x) {
  auto work = std::move(making_);
  auto& entry = processes_[init];
  if (x.failed) {
    fail_start(work, *x.failed);
    return;
  }
  auto r = record(work->by, work->request_id);
  r.set_process(init);
  r.set_pid(entry.key.pid);
  r.set_cause(work->waited);
  r.mutable_started()->set_start_ticks(entry.key.start_ticks);
  v1::StartReply reply;
  reply.set_pid(entry.key.pid);
  entry.started = true;
  if (entry.actor)
    self->send(entry.actor, atom::started::value);
  {
    const auto both = host->ledger.together();
    reply.set_seq(host->ledger.record(r));
    if (work->in_steps)
      answer_create(work);
    else
      host->finish_request(work->request_id, "Start", reply);
  }
  for (auto& p : work->starts)
    p.deliver(reply);
  happen(event::started, [this] { enter(phase::running); });
}

void container_state::begin_fresh_run(const v1::By& by, const v1::StartRequest& req,
                                      pending<v1::StartReply> p) {
  auto restore = restore_of(req);
  if (!restore) {
    p.deliver(to_caf(restore.why()));
    return;
  }
  auto work = std::make_shared<making>();
  work->restore = std::move(*restore);
  work->by = by;
  work->request_id = req.request_id();
  work->starts.push_back(std::move(p));
  begin_fresh_run(work);
}

/// The log that the next run goes on with: its files are complete.
/// @returns the number of the last one.
uint64_t container_state::end_earlier_log(uint64_t serial) {
  std::vector<uint64_t> files;
  io::list_log_files(host->loop.sys(), host->log_dir(serial), files);
  const auto last = files.empty() ? 0 : files.back();
  if (making_->spec.log().compress())
    host->packer.pack(host->log_dir(serial), last + 1);
  return last;
}

/// A new run that somebody asked for, or its restart policy.
void container_state::begin_fresh_run(const std::shared_ptr<making>& work) {
  disarm_restart();
  work->spec.ParseFromString(view()->spec);
  work->run = true;
  work->fresh = true;
  if (const auto* last = view()->init(); last->width != 0) { // As it was set last.
    work->spec.mutable_terminal_size()->set_width(last->width);
    work->spec.mutable_terminal_size()->set_height(last->height);
  }
  work->op = host->next_op++;
  making_ = work;
  ++run_;
  const auto last = processes_[init].serial;
  // A log goes on over restarts by the policy, and with what goes on from a checkpoint.
  const bool log_goes_on = making_->restore || making_->cause != 0;
  if (!log_goes_on)
    remove_logs(*host, last, [] {});
  count_ooms({}); // A new cgroup.
  processes_.erase(init);
  processes_[init].serial = log_goes_on ? last : host->ledger.now().take_serial();
  processes_[init].run = run_;
  host->stuck.erase(who);
  auto r = record(work->by, work->request_id);
  r.set_cause(work->cause);
  r.mutable_starting()->set_by_policy(work->cause != 0);
  if (making_->restore)
    *r.mutable_starting()->mutable_restore() = *making_->restore;
  r.mutable_starting()->set_op(making_->op);
  r.mutable_starting()->set_fresh(true);
  r.mutable_starting()->set_process_serial(processes_[init].serial);
  if (log_goes_on)
    r.mutable_starting()->set_log_files(end_earlier_log(last));
  host->ledger.record(r);
  host->logs.notify(last); // Its readers: that run is over.
  enter(phase::creating);
  // The runtime forgets the run before; its bundle is written anew.
  auto forget = while_here([this] {
    cgroup_watch_.reset();
    host->engine.remove(runtime_, runtime::runtime_id(who), true, making_->op,
                        while_here([this, me = container_actor{self}](result<void> x) {
                          if (x)
                            begin_making();
                          else
                            caf::anon_send(me, atom::bundle::value, failure(x.why()));
                        }));
  });
  if (cgroup_watch_)
    cgroup_watch_->stop(std::move(forget));
  else
    forget();
}

} // namespace gantry::actors
