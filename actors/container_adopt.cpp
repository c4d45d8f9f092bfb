#include <algorithm>
#include <csignal>
#include <set>

#include "actors/container.hpp"
#include "actors/fifos.hpp"
#include "actors/log_forward.hpp"
#include "actors/notify_socket.hpp"
#include "actors/terminal.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"
#include "runtime/policy_messages.hpp"

// Adoption: what the records say of this container meets what the host has. What lives is
// watched again, what died is settled, what was half done is finished or done once more.

namespace gantry::actors {

namespace {

using phase_t = runtime::process_view::phase_t;

} // namespace

void container_state::adopt() {
  const auto* seen = view();
  GANTRY_CHECK(seen != nullptr);
  auto v = *seen; // Recording below changes the original.
  instance_ = v.instance;
  run_ = std::max(v.run, 1u);
  runtime_ = v.runtime;
  remove_on_exit_ = v.remove_on_exit;
  at_ = phase_of(v.state);
  if (v.init() != nullptr)
    notify_socket_ = adopt_notify_socket(*host, v.init()->serial);
  count_ooms({v.oom_kills, v.oom_claimed, v.oom_limit_hits, v.oom_level, v.oom_victim});
  for (const auto& p : v.processes) {
    if (p.phase == phase_t::exited && !p.io_open() && p.id != init)
      continue;
    auto& entry = processes_[p.id];
    entry.serial = p.serial;
    entry.run = p.run;
    entry.key = {p.pid, p.start_ticks};
    entry.made = p.phase != phase_t::adding;
    entry.started = p.started_at_ns != 0;
    entry.ended = p.phase == phase_t::exited;
  }
  if (v.start_wanted && v.init() != nullptr && v.init()->phase == phase_t::created
      && !v.starts_in_steps()) {
    finish_run(v); // One command of the runtime made and started it; Started is missing.
    v = *view();
  }
  if (v.init() != nullptr && v.init()->phase != phase_t::adding)
    host->loop.sys().unlink( // Recorded: the next run must not find it.
      runtime::create_pid_file(host->bundle_dir(instance_)));
  if (!over())
    report_restored(v);
  for (const auto& p : v.processes)
    switch (p.phase) {
      case phase_t::adding:
        if (p.id != init)
          adopt_exec(p);
        break;
      case phase_t::created:
      case phase_t::running:
      case phase_t::died:
        adopt_process(p);
        if (p.id != init && p.phase == phase_t::running)
          adopt_exec_end(p.id);
        break;
      case phase_t::exited:
        adopt_exited(p);
        break;
    }
  std::set<uint64_t> living;
  for (const auto& p : v.processes)
    if (p.phase != phase_t::exited)
      living.insert(p.serial);
    else if (p.id != init && exec_group(p.serial).exists())
      lingering_.insert(p.serial);
  runtime::exec_cgroup::sweep(host->loop.sys(), host->cgroups, host->cgroup_path(who), living);
  adopt_phase(v);
  follow_run_time();
  if (v.oom_kills > 0) // What its policy makes of that would have ended it.
    self->send(self, atom::oom::value, uint64_t{0});
  adopt_health();
  adopt_notify();
}

void container_state::finish_run(const runtime::container_view& v) {
  const auto by = v.intent_by.value_or(v1::By{});
  auto r = record(by, v.intent_request);
  r.set_process(init);
  r.set_pid(v.init()->pid);
  r.set_cause(v.intent_seq);
  r.mutable_started()->set_start_ticks(v.init()->start_ticks);
  if (journal::Restore from; from.ParseFromString(v.restore) && !from.dir().empty())
    r.mutable_started()->set_checkpoint(from.name().empty() ? from.dir() : from.name());
  const auto both = host->ledger.together();
  host->ledger.record(r);
  at_ = phase_of(view()->state);
  if (run_ > 1) { // A new run of a stopped container.
    v1::StartReply reply;
    reply.set_pid(v.init()->pid);
    host->finish_request(v.intent_request, "Start", reply);
    return;
  }
  v1::CreateReply reply;
  reply.set_instance(instance_);
  reply.set_pid(v.init()->pid);
  reply.set_process_serial(v.init()->serial);
  host->finish_request(v.intent_request, "Create", reply);
}

void container_state::adopt_process(const runtime::process_view& p) {
  const auto log = log_options_of(*view(), p);
  auto setup = std::make_shared<process_setup>();
  setup->host = host;
  setup->parent = container_actor{self};
  setup->who = names(p.id);
  setup->streams = adopt_streams(*host, setup->who, log);
  setup->oom = oom_;
  setup->is_init = p.id == init;
  setup->stdin_closed = p.stdin_closed || !p.with_stdin;
  if (host->shelved_consoles.erase(p.serial) > 0)
    close_console(*host, p.serial); // Its master was taken before it was recorded.
  setup->settled = p.phase == phase_t::exited;
  if (setup->stdin_closed)
    setup->streams.stdin_pipe.reset();
  if (p.stdin_closed && p.with_stdin)
    drop_stdin(*host, p.serial); // The crash may have come between the record and this.
  if (!setup->settled)
    setup->key = {p.pid, p.start_ticks};
  setup->started = p.started_at_ns != 0;
  if (p.phase == phase_t::died) {
    journal::Died d;
    d.ParseFromString(p.died);
    setup->death = ended{d.known(), d.code(), d.signal(), d.core(), d.at_ns(), 0,
                         d.max_rss_bytes()};
  }
  if (setup->settled && !setup->streams.pump) {
    output_lost(p);
    return;
  }
  processes_[p.id].actor = self->spawn(process, std::move(setup));
}

/// An exit that is told. Where somebody still held a stream its log goes on.
void container_state::adopt_exited(const runtime::process_view& p) {
  if (p.io_open() && host->shelved.contains(p.serial)) {
    adopt_process(p);
    return;
  }
  if (p.io_open())
    output_lost(p);
  log_forward::start(*host, {who, instance_, p.run, p.id, p.serial}, log_options_of(*view(), p));
  if (host->shelved.erase(p.serial) > 0)
    drop_streams(*host, p.serial);
  io::discard_slot(host->keeper.memory(), host->blocks, p.serial);
  forget_fifos(*host, p.serial);
  if (host->shelved_consoles.erase(p.serial) > 0)
    close_console(*host, p.serial);
}

/// The streams of a process that has exited went with the host or the keeper.
void container_state::output_lost(const runtime::process_view& p) {
  io::log_totals last;
  last.bytes = {p.exit->stdout_bytes(), p.exit->stderr_bytes()};
  if (const auto memory = host->keeper.memory())
    io::totals_in_arena(memory, p.serial, last);
  auto r = record_of(p.id, {}, {});
  r.mutable_output_closed()->set_stdout_bytes(last.bytes[0]);
  r.mutable_output_closed()->set_stderr_bytes(last.bytes[1]);
  host->ledger.record(r);
  if (p.id != init)
    processes_.erase(p.id);
  drop_streams(*host, p.serial);
  io::discard_slot(host->keeper.memory(), host->blocks, p.serial);
}

void container_state::adopt_exec(const runtime::process_view& p) {
  auto work = std::make_unique<exec_making>();
  work->request.set_process(p.id);
  work->request.set_request_id(p.request_id);
  work->request.mutable_spec()->ParseFromString(p.spec);
  work->op = p.op;
  execs_[p.id] = std::move(work);
  ++execs_making_;
  await_orphan(p.op, p.id);
}

void container_state::adopt_phase(const runtime::container_view& v) {
  const v1::By by = v.intent_by.value_or(v1::By{});
  if (at_ != phase::creating && !over()) {
    watch_cgroup();
    oom_->look(run_); // What happened while nobody watched.
  }
  switch (at_) {
    case phase::creating:
      adopt_making(v);
      return;
    case phase::starting:
      adopt_start(v);
      making_->op = v.op; // Done once more it is known by the same: we may die again.
      await_orphan(v.op, init);
      return;
    case phase::waiting:
      adopt_start(v);
      watch_others();
      return;
    case phase::pausing:
      pause_by_ = by;
      pause_request_ = v.intent_request;
      pause_seq_ = v.intent_seq;
      pause_deadline_ = host->loop.now() + std::chrono::seconds(10);
      if (auto asked = group().freeze(); !asked)
        io::log_warn("container={}: {}", who.id, asked.why().text());
      self->send(self, atom::frozen::value);
      return;
    case phase::paused:
      if (!group().frozen()) { // A resume was under way, or somebody thawed it.
        thaw_for_end(nullptr, v.intent_seq);
        host->finish_request(v.intent_request, "Resume", v1::ResumeReply{});
      }
      return;
    case phase::checkpointing:
      return adopt_checkpoint(v);
    case phase::stopping:
      return adopt_stop(v);
    case phase::deleting:
      return adopt_removal(v);
    case phase::stopped:
    case phase::restarting:
    case phase::dead:
      // What the last run left behind is killed behind the record of its end: it may not
      // have come to that.
      if (auto g = group(); g.populated())
        if (auto killed = g.kill_all(); !killed)
          io::log_warn("container={}: {}", who.id, killed.why().text());
      if (remove_on_exit_)
        begin_remove({}, {}, false, 0);
      else
        adopt_restart();
      return;
    case phase::created:
      if (v.start_wanted && v.init()->phase == phase_t::created) { // The second step is missing.
        adopt_start(v);
        if (start_or_wait(0))
          enter(phase::starting);
      }
      return;
    case phase::running:
    case phase::gone:
    case phase::count_:
      return;
  }
}

void container_state::adopt_making(const runtime::container_view& v) {
  making_ = std::make_shared<making>();
  making_->spec.ParseFromString(v.spec);
  making_->by = v.intent_by.value_or(v1::By{});
  making_->request_id = v.intent_request;
  making_->run = v.start_wanted;
  making_->fresh = run_ > 1;
  making_->op = v.op;
  making_->durable = true;
  if (const auto s = runtime::restart_state_of(v); s.by_policy())
    making_->cause = s.seq();
  if (journal::Restore from; from.ParseFromString(v.restore) && !from.dir().empty())
    making_->restore = std::move(from);
  making_->in_steps = making_->two_steps() && !making_->fresh;
  if (v.undoing) {
    making_->failed = error{code_named(v.undoing->code()), v.undoing->message(), v.undoing->cure()};
    if (host->shelved.erase(processes_[init].serial) > 0)
      drop_streams(*host, processes_[init].serial);
    if (host->shelved_consoles.erase(processes_[init].serial) > 0)
      close_console(*host, processes_[init].serial);
  }
  await_orphan(v.op, init);
}

} // namespace gantry::actors
