#include <spdlog/spdlog.h>

#include "actors/container.hpp"
#include "io/file_ops.hpp"
#include "runtime/bundle.hpp"

// Create and start: from the intent in the journal to a running init.

namespace gantry::actors {

namespace {

outcome failure(error why) { return {.failed = std::move(why)}; }

outcome outcome_of(const result<runtime::made_process>& x) {
  if (!x)
    return failure(x.why());
  return {.failed = {}, .pid = x->key.pid, .start_ticks = x->key.start_ticks};
}

outcome outcome_of(const result<void>& x) { return x ? outcome{} : failure(x.why()); }

} // namespace

caf::result<v1::CreateReply> container_state::create(const v1::By& by,
                                                     const v1::CreateRequest& req) {
  GANTRY_CHECK(at_ == phase::creating && instance_ == 0);
  auto promise = self->make_response_promise<v1::CreateReply>();
  making_ = std::make_shared<making>();
  making_->spec = req.spec();
  making_->by = by;
  making_->request_id = req.request_id();
  making_->run = req.start();
  making_->creates.push_back(promise);
  making_->op = host->next_op++;
  runtime_ = req.spec().runtime();
  remove_on_exit_ = req.spec().remove_on_exit();

  auto& entry = processes_[init];
  entry.serial = host->ledger.now().take_serial();
  auto r = record(by, req.request_id());
  auto* c = r.mutable_creating();
  *c->mutable_spec() = req.spec();
  c->set_start(req.start());
  c->set_process_serial(entry.serial);
  c->set_runtime(runtime_);
  c->set_op(making_->op);
  instance_ = host->ledger.record(r);
  oom_ = std::make_shared<oom_account>(*host, who, instance_, 0);
  begin_making();
  return promise;
}

void container_state::begin_making() {
  // One of the last run may be there yet, if a crash came right behind its record.
  host->loop.sys().unlink(runtime::create_pid_file(host->bundle_dir(instance_)));
  // The definition goes to the disk beside the runtime's work, not before it.
  host->ledger.file().durable([work = making_, id = who.id](result<void> x) {
    work->durable = true;
    if (!x)
      spdlog::warn("container={}: its definition is not on the disk: {}", id, x.why().text());
    if (auto f = std::exchange(work->when_durable, nullptr))
      f();
  });
  runtime::bundle_request req{who, making_->spec, host->bundle_dir(instance_),
                              host->cgroup_path(who)};
  auto logs = std::make_shared<io::path_op>(host->loop);
  auto dir = host->log_dir(processes_[init].serial);
  runtime::prepare_bundle(
    host->loop, std::move(req),
    while_here([this, me = container_actor{self}, logs, dir](result<runtime::prepared_bundle> b) {
      if (!b) {
        caf::anon_send(me, atom::bundle::value, failure(b.why()));
        return;
      }
      if (making_)
        making_->args = std::move(b->args);
      logs->mkdir(dir, 0700, [me, logs, dir](int32_t n) {
        const bool ok = n == 0 || n == -EEXIST;
        caf::anon_send(me, atom::bundle::value,
                       ok ? outcome{} : failure(from_errno(-n, "make the log directory", dir)));
      });
    }));
}

void container_state::on_bundle(const outcome& x) {
  GANTRY_CHECK(making_ != nullptr);
  if (x.failed) {
    fail_making(*x.failed);
    return;
  }
  auto& entry = processes_[init];
  io::discard_slot(host->keeper.memory(), host->blocks, entry.serial);
  auto streams = make_streams(*host, names(init, entry.serial), making_->spec.with_stdin(),
                              making_->spec.log());
  if (!streams) {
    fail_making({streams.why().code, "container \"" + who.id + "\": " + streams.why().message,
                 streams.why().cure});
    return;
  }
  making_->streams = std::move(*streams);
  if (view()->init()->stdin_closed) { // In an earlier life, while it was made for the first time.
    making_->streams.ours.stdin_pipe.reset();
    drop_stdin(*host, entry.serial);
  }
  spawn_process(init, entry.serial, std::move(making_->streams.ours),
                !making_->spec.with_stdin());
  make_with_runtime();
}

void container_state::make_with_runtime() {
  runtime::create_command c;
  c.runtime = runtime_;
  c.id = runtime::runtime_id(who);
  c.bundle = host->bundle_dir(instance_);
  c.stdio = making_->streams.numbers();
  c.run = making_->run;
  c.op = making_->op;
  host->engine.create(std::move(c),
                      [me = container_actor{self}](result<runtime::made_process> x) {
                        caf::anon_send(me, atom::made::value, outcome_of(x));
                      });
}

void container_state::on_made(const outcome& x) {
  GANTRY_CHECK(making_ != nullptr);
  for (auto& theirs : making_->streams.theirs)
    theirs.reset();
  if (x.failed) {
    fail_making(*x.failed);
    return;
  }
  auto& entry = processes_[init];
  entry.key = {x.pid, x.start_ticks};
  entry.made = true;
  auto r = record(making_->by, making_->request_id);
  r.set_process(init);
  r.set_pid(x.pid);
  r.set_cause(instance_);
  r.mutable_created()->set_start_ticks(x.start_ticks);
  for (const auto& a : making_->args)
    r.mutable_created()->add_command(a);
  auto seq = host->ledger.record(r);
  if (making_->run) {
    auto s = record(making_->by, making_->request_id);
    s.set_process(init);
    s.set_pid(x.pid);
    s.set_cause(seq);
    s.mutable_started()->set_start_ticks(x.start_ticks);
    host->ledger.record(s);
  }
  self->send(entry.actor, atom::made::value, x.pid, x.start_ticks, making_->run);
  answer_making(); // Recorded beside the fact, before anything else can end us.
  host->loop.sys().unlink(runtime::create_pid_file(host->bundle_dir(instance_)));
  watch_oom();
}

void container_state::watch_oom() {
  oom_watch_ = std::make_unique<runtime::oom_watch>(host->loop, host->cgroups);
  auto started = oom_watch_->start(
    host->cgroup_path(who), [oom = oom_, run = run_] { oom->check(run); });
  if (!started) {
    // Counters are read again at each exit: only the early word is missing.
    spdlog::debug("container={}: no OOM events: {}", who.id, started.why().text());
    oom_watch_.reset();
  }
}

void container_state::answer_making() {
  // The client waits for the disk; nobody else does: the container is what it is from now on.
  auto work = std::exchange(making_, nullptr);
  v1::CreateReply created;
  created.set_instance(instance_);
  created.set_pid(processes_[init].key.pid);
  created.set_process_serial(processes_[init].serial);
  v1::StartReply started;
  started.set_pid(created.pid());
  if (work->fresh)
    host->finish_request(work->request_id, "Start", started);
  else
    host->finish_request(work->request_id, "Create", created);
  auto answer = [work, created, started] {
    for (auto& p : work->creates)
      p.deliver(created);
    for (auto& p : work->starts)
      p.deliver(started);
  };
  if (work->durable)
    answer();
  else
    work->when_durable = std::move(answer);
  happen(work->run ? event::made_running : event::made,
         [this, run = work->run] { enter(run ? phase::running : phase::created); });
}

void container_state::fail_making(error why) {
  for (auto& theirs : making_->streams.theirs)
    theirs.reset();
  making_->failed = std::move(why);
  if (processes_[init].actor) {
    self->send(processes_[init].actor, atom::release::value); // `released` goes on.
    return;
  }
  undo_making();
}

void container_state::undo_making() {
  const auto dir = host->bundle_dir(instance_);
  const auto serial = processes_[init].serial;
  io::discard_slot(host->keeper.memory(), host->blocks, serial);
  auto files_gone = while_here([this] {
    auto why = *making_->failed;
    auto r = record(making_->by, making_->request_id);
    auto fill = [&why](auto* f) {
      f->set_code(std::string{name_of(why.code)});
      f->set_message(why.message);
      f->set_cure(why.cure);
    };
    r.set_cause(instance_);
    if (making_->fresh)
      fill(r.mutable_start_failed());
    else
      fill(r.mutable_create_failed());
    host->ledger.record(r);
    host->logs.notify(processes_[init].serial);
    auto done = std::move(making_);
    group().remove();
    host->fail_request(done->request_id, done->fresh ? "Start" : "Create", why);
    if (done->fresh) {
      for (auto& p : done->starts)
        p.deliver(to_caf(why));
      enter(phase::stopped);
      return;
    }
    happen(event::make_failed, [this] { enter(phase::gone); });
    go_away();
    for (auto& p : done->creates)
      p.deliver(to_caf(why));
  });
  auto bundle_gone = while_here([this, serial, files_gone] {
    remove_logs(*host, serial, files_gone);
  });
  host->engine.remove(runtime_, runtime::runtime_id(who), true, making_->op,
                      while_here([this, dir, bundle_gone](result<void> x) {
                        if (!x)
                          spdlog::warn("container={}: {}", who.id, x.why().text());
                        runtime::remove_bundle(host->loop, dir, bundle_gone);
                      }));
}

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
    if (at_ == phase::stopped) {
      if (const auto& last = processes_[init].actor) {
        // Somebody still holds the last run's streams open: `released` asks again.
        self->send(last, atom::release::value);
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
    begin_start(by, req.request_id(), host->next_op++);
    enter(r.next);
  });
}

void container_state::begin_start(const v1::By& by, const std::string& request_id, uint64_t op) {
  auto r = record(by, request_id);
  r.mutable_starting()->set_op(op);
  host->ledger.record(r);
  host->engine.start(runtime_, runtime::runtime_id(who), host->bundle_dir(instance_), op,
                     [me = container_actor{self}](result<void> x) {
                       caf::anon_send(me, atom::started::value, outcome_of(x));
                     });
}

void container_state::on_started(const outcome& x) {
  auto work = std::move(making_);
  auto& entry = processes_[init];
  if (x.failed) {
    auto r = record(work->by, work->request_id);
    auto* f = r.mutable_start_failed();
    f->set_code(std::string{name_of(x.failed->code)});
    f->set_message(x.failed->message);
    f->set_cure(x.failed->cure);
    host->ledger.record(r);
    host->fail_request(work->request_id, "Start", *x.failed);
    for (auto& p : work->starts)
      p.deliver(to_caf(*x.failed));
    if (auto killed = group().kill_all(); !killed)
      spdlog::warn("container={}: {}", who.id, killed.why().text());
    happen(event::start_failed, [this] { enter(phase::stopped); });
    return;
  }
  auto r = record(work->by, work->request_id);
  r.set_process(init);
  r.set_pid(entry.key.pid);
  r.mutable_started()->set_start_ticks(entry.key.start_ticks);
  v1::StartReply reply;
  reply.set_seq(host->ledger.record(r));
  reply.set_pid(entry.key.pid);
  entry.started = true;
  if (entry.actor)
    self->send(entry.actor, atom::started::value);
  host->finish_request(work->request_id, "Start", reply);
  for (auto& p : work->starts)
    p.deliver(reply);
  happen(event::started, [this] { enter(phase::running); });
}

void container_state::begin_fresh_run(const v1::By& by, const v1::StartRequest& req,
                                      pending<v1::StartReply> p) {
  auto keep = std::make_shared<making>();
  keep->spec.ParseFromString(view()->spec);
  keep->by = by;
  keep->request_id = req.request_id();
  keep->run = true;
  keep->fresh = true;
  keep->starts.push_back(std::move(p));
  keep->op = host->next_op++;
  making_ = std::move(keep);
  ++run_;
  remove_logs(*host, processes_[init].serial, [] {}); // A log belongs to one run.
  oom_ = std::make_shared<oom_account>(*host, who, instance_, 0); // A new cgroup counts anew.
  processes_.erase(init);
  processes_[init].serial = host->ledger.now().take_serial();
  auto r = record(by, req.request_id());
  r.mutable_starting()->set_op(making_->op);
  r.mutable_starting()->set_fresh(true);
  r.mutable_starting()->set_process_serial(processes_[init].serial);
  host->ledger.record(r);
  enter(phase::creating);
  // The runtime forgets the run before; its bundle is written anew.
  auto forget = while_here([this] {
    oom_watch_.reset();
    host->engine.remove(runtime_, runtime::runtime_id(who), true, making_->op,
                        while_here([this, me = container_actor{self}](result<void> x) {
                          if (x)
                            begin_making();
                          else
                            caf::anon_send(me, atom::bundle::value, failure(x.why()));
                        }));
  });
  if (oom_watch_)
    oom_watch_->stop(std::move(forget));
  else
    forget();
}

} // namespace gantry::actors
