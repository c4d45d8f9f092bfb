#include "actors/container.hpp"
#include "actors/fifos.hpp"
#include "actors/notify_socket.hpp"
#include "actors/terminal.hpp"
#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"

// Create: from the intent in the journal to an init that the runtime has made.

namespace gantry::actors {

namespace {

outcome failure(error why) { return {.failed = std::move(why)}; }

outcome outcome_of(const result<runtime::made_process>& x) {
  if (!x)
    return failure(x.why());
  return {.failed = {}, .pid = x->key.pid, .start_ticks = x->key.start_ticks};
}

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
  if (!req.checkpoint_dir().empty())
    making_->restore = images_in(req.checkpoint_dir());
  making_->in_steps = making_->two_steps();
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
  c->set_cgroup_home(host->options.cgroup_parent);
  c->set_by_systemd(host->options.systemd_cgroups);
  if (making_->restore)
    *c->mutable_restore() = *making_->restore;
  instance_ = host->ledger.record(r);
  count_ooms({});
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
      io::log_warn("container={}: its definition is not on the disk: {}", id, x.why().text());
    if (auto f = std::exchange(work->when_durable, nullptr))
      f();
  });
  const auto place = host->cgroup_place(who);
  runtime::bundle_request req{who, making_->spec, host->bundle_dir(instance_),
                              place.unit.empty() ? place.path : place.unit};
  req.by_systemd = !place.unit.empty();
  req.before_unit = host->options.own_unit;
  req.on_tmpfs = host->options.state_on_tmpfs;
  if (making_->spec.has_notify())
    req.notify_dir = notify_dir(*host, processes_[init].serial);
  // The bundle and the log directory are made side by side.
  struct parts {
    explicit parts(io::loop& l) : logs(l) {}
    io::path_op logs;
    int missing = 2;
    outcome worst;
  };
  auto work = std::make_shared<parts>(host->loop);
  if (auto made = make_notify(); !made)
    work->worst = failure(made.why());
  auto part_made = while_here([this, me = container_actor{self}, work](const outcome& x) {
    if (x.failed && !work->worst.failed)
      work->worst = x;
    if (--work->missing != 0)
      return;
    if (work->worst.failed)
      caf::anon_send(me, atom::bundle::value, work->worst);
    else
      open_init_fifos();
  });
  auto dir = host->log_dir(processes_[init].serial);
  work->logs.mkdir(dir, 0700, [part_made, dir](int32_t n) mutable {
    const bool ok = n == 0 || n == -EEXIST;
    part_made(ok ? outcome{} : failure(from_errno(-n, "make the log directory", dir)));
  });
  runtime::prepare_bundle(
    host->loop, std::move(req),
    while_here([this, part_made](result<runtime::prepared_bundle> b) mutable {
      if (b && making_)
        making_->args = std::move(b->args);
      part_made(b ? outcome{} : failure(b.why()));
    }));
}

void container_state::open_init_fifos() {
  open_fifos(*host, processes_[init].serial, making_->spec.fifos(), making_->by.uid(),
             [me = container_actor{self}](const result<void>& x) {
               caf::anon_send(me, atom::bundle::value, x ? outcome{} : failure(x.why()));
             });
}

void container_state::on_bundle(const outcome& x) {
  GANTRY_CHECK(making_ != nullptr);
  if (x.failed) {
    fail_making(*x.failed);
    return;
  }
  auto& entry = processes_[init];
  io::discard_slot(host->keeper.memory(), host->blocks, entry.serial);
  const auto who_is = names(init);
  auto streams = making_->spec.terminal()
                   ? make_console(*host, who_is)
                   : make_streams(*host, who_is, making_->spec.with_stdin(), making_->spec.log());
  if (!streams) {
    fail_making({streams.why().code, "container \"" + who.id + "\": " + streams.why().message,
                 streams.why().cure});
    return;
  }
  making_->streams = std::move(*streams);
  if (making_->spec.terminal()) { // Its streams come from the runtime.
    make_with_runtime();
    return;
  }
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
  c.console = making_->streams.console.path;
  c.by_systemd = view()->by_systemd;
  // A terminal without a master hangs up.
  c.run = making_->run && !making_->two_steps();
  c.op = making_->op;
  if (const auto& from = making_->restore) {
    c.images = from->dir();
    c.image.tcp_established = from->tcp_established();
    c.image.file_locks = from->file_locks();
    c.image.external_unix = from->external_unix();
  }
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
  const bool steps = making_->two_steps();
  if (making_->spec.terminal() && !entry.actor && !take_init_terminal())
    return;
  entry.key = {x.pid, x.start_ticks};
  entry.made = true;
  auto r = record(making_->by, making_->request_id);
  r.set_process(init);
  r.set_pid(x.pid);
  r.set_cause(making_->cause != 0 ? making_->cause : instance_);
  r.mutable_created()->set_start_ticks(x.start_ticks);
  for (const auto& a : making_->args)
    r.mutable_created()->add_command(a);
  self->send(entry.actor, atom::made::value, x.pid, x.start_ticks, making_->run && !steps);
  if (steps) {
    if (start_or_wait(host->ledger.record(r)))
      happen(event::made_to_start, [this] { enter(phase::starting); });
  } else {
    const auto all = host->ledger.together();
    const auto seq = host->ledger.record(r);
    if (making_->run)
      record_run(x, seq);
    answer_making();
  }
  host->loop.sys().unlink(runtime::create_pid_file(host->bundle_dir(instance_)));
  watch_cgroup();
}

/// The runtime has made it and started it in one command.
void container_state::record_run(const outcome& x, uint64_t cause) {
  auto s = record(making_->by, making_->request_id);
  s.set_process(init);
  s.set_pid(x.pid);
  s.set_cause(cause);
  s.mutable_started()->set_start_ticks(x.start_ticks);
  if (const auto& from = making_->restore)
    s.mutable_started()->set_checkpoint(from->name().empty() ? from->dir() : from->name());
  host->ledger.record(s);
}

/// @returns whether init has its streams; else the making has failed.
bool container_state::take_init_terminal() {
  const auto who_is = names(init);
  auto streams = take_terminal(*host, who_is, std::move(making_->streams.console),
                               making_->spec.log());
  if (!streams) {
    fail_making(streams.why());
    return false;
  }
  const bool closed = !making_->spec.with_stdin() || view()->init()->stdin_closed;
  if (closed)
    streams->stdin_pipe.reset();
  spawn_process(init, who_is.serial, std::move(*streams), closed);
  return true;
}

void container_state::watch_cgroup() {
  cgroup_watch_ = std::make_unique<runtime::cgroup_watch>(host->loop, host->cgroups);
  auto started = cgroup_watch_->watch_oom(
    host->cgroup_path(who), [oom = oom_, run = run_] { oom->look(run); });
  if (!started) // Counters are read again at each exit: only the early word is missing.
    io::log_debug("container={}: no OOM events: {}", who.id, started.why().text());
  watch_pressure();
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

} // namespace gantry::actors
