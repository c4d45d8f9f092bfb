#include <algorithm>
#include <csignal>
#include <poll.h>

#include "actors/container.hpp"
#include "actors/fifos.hpp"
#include "actors/log_forward.hpp"
#include "actors/terminal.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"

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
  const auto claimed = std::count_if(v.processes.begin(), v.processes.end(), [](const auto& p) {
    return p.exit && p.exit->oom();
  });
  oom_ = std::make_shared<oom_account>(*host, who, instance_, v.oom_kills, uint64_t(claimed));
  for (const auto& p : v.processes) {
    if (p.phase == phase_t::exited && p.id != init)
      continue;
    auto& entry = processes_[p.id];
    entry.serial = p.serial;
    entry.key = {p.pid, p.start_ticks};
    entry.made = p.phase != phase_t::adding;
    entry.started = p.started_at_ns != 0;
    entry.ended = p.phase == phase_t::exited;
  }
  if (v.start_wanted && v.init() != nullptr && v.init()->phase == phase_t::created
      && !v.init()->terminal) {
    finish_run(v); // One command of the runtime made and started it; Started is missing.
    v = *view();
  }
  if (at_ != phase::stopped)
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
        break;
      case phase_t::exited:
        log_forward::start(*host, names(p.id, p.serial), log_options_of(v, p));
        if (host->shelved.erase(p.serial) > 0)
          drop_streams(*host, p.serial);
        io::discard_slot(host->keeper.memory(), host->blocks, p.serial);
        forget_fifos(*host, p.serial);
        if (host->shelved_consoles.erase(p.serial) > 0)
          close_console(*host, p.serial);
        break;
    }
  adopt_phase(v);
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
  setup->who = names(p.id, p.serial);
  // An exec of the run before may not be settled yet: its end belongs to that run.
  if (p.id != init && run_ > 1 && p.intent_seq < view()->init()->intent_seq)
    setup->who.run = run_ - 1;
  setup->streams = adopt_streams(*host, setup->who, log);
  setup->oom = oom_;
  setup->is_init = p.id == init;
  setup->stdin_closed = p.stdin_closed || !p.with_stdin;
  if (host->shelved_consoles.erase(p.serial) > 0)
    close_console(*host, p.serial); // Its master was taken before it was recorded.
  if (setup->stdin_closed)
    setup->streams.stdin_pipe.reset();
  if (p.stdin_closed && p.with_stdin)
    drop_stdin(*host, p.serial); // The crash may have come between the record and this.
  setup->key = {p.pid, p.start_ticks};
  setup->started = p.started_at_ns != 0;
  if (p.phase == phase_t::died) {
    journal::Died d;
    d.ParseFromString(p.died);
    setup->death = ended{d.known(), d.code(), d.signal(), d.core(), d.at_ns(), 0};
  }
  processes_[p.id].actor = self->spawn(process, std::move(setup));
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

void container_state::await_orphan(uint64_t op, const std::string& process_id) {
  container_actor me{self};
  auto ended = [me, process_id] { caf::anon_send(me, atom::orphan::value, process_id); };
  const auto at = host->orphans.find(op);
  if (at == host->orphans.end()) {
    ended();
    return;
  }
  auto& sys = host->loop.sys();
  struct wait {
    explicit wait(io::loop& l) : op(l), patience(l) {}
    io::fd pidfd;
    io::poll_op op;
    io::timer patience;
  };
  auto w = std::make_shared<wait>(host->loop);
  w->pidfd = io::fd{sys, sys.pidfd_open(at->second.pid)};
  if (!w->pidfd || sys.start_ticks(at->second.pid) != int64_t(at->second.start_ticks)) {
    ended();
    return;
  }
  io::log_info("container={}: waits for the runtime command pid={} of an earlier life", who.id,
               at->second.pid);
  // Whoever it made may be dead before it ends: the table keeps that for us so long.
  const auto ticket = host->reaper.command_begins();
  w->patience.start(host->options.orphan_patience,
                    [w, &sys] { sys.pidfd_signal(w->pidfd.get(), SIGKILL); });
  w->op.start(w->pidfd.get(), POLLIN, [w, ended, ticket, &reaper = host->reaper](int32_t n) {
    w->patience.cancel();
    if (n < 0)
      return;
    reaper.command_ends(ticket);
    ended();
  });
  orphan_waits_.emplace_back(w, &w->op);
}

void container_state::on_orphan(const std::string& process_id) {
  orphan_waits_.clear();
  if (process_id != init) {
    orphan_exec_ended(process_id);
    return;
  }
  if (at_ == phase::checkpointing)
    return orphan_checkpoint_ended();
  if (at_ == phase::starting) {
    const auto dir = host->options.state_dir + "/runtime/" + runtime::runtime_id(who);
    auto& sys = host->loop.sys();
    // The runtime takes its fifo away when init runs. Without its directory (a boot took it)
    // nothing ran: it says so itself.
    if (sys.exists(dir) == 1 && sys.exists(dir + "/exec.fifo") == 0)
      on_started({});
    else
      host->engine.start(runtime_, runtime::runtime_id(who), host->bundle_dir(instance_),
                         making_->op, [me = container_actor{self}](result<void> x) {
                           outcome out;
                           if (!x)
                             out.failed = x.why();
                           caf::anon_send(me, atom::started::value, out);
                         });
    return;
  }
  orphan_create_ended();
}

void container_state::orphan_create_ended() {
  const auto id = runtime::runtime_id(who);
  auto& entry = processes_[init];
  auto made = runtime::made_before(host->loop.sys(), host->reaper,
                                   runtime::create_pid_file(host->bundle_dir(instance_)));
  const auto fifo = host->options.state_dir + "/runtime/" + id + "/exec.fifo";
  const bool waits = host->loop.sys().exists(fifo) == 1;
  const bool terminal = making_->spec.terminal();
  auto streams = terminal && made && waits
                   ? take_terminal_again(*host, names(init, entry.serial), making_->spec.log())
                   : result<process_streams>{process_streams{}};
  if (made && streams && waits != (making_->run && !terminal)) {
    adopt_made({.failed = {}, .pid = made->key.pid, .start_ticks = made->key.start_ticks},
               terminal ? std::make_shared<process_streams>(std::move(*streams)) : nullptr);
    return;
  }
  // Half: undone, and done once more under the same names.
  if (auto killed = group().kill_all(); !killed)
    io::log_warn("container={}: {}", who.id, killed.why().text());
  host->shelved.erase(entry.serial);
  host->shelved_stdin.erase(entry.serial);
  host->shelved_consoles.erase(entry.serial);
  host->engine.remove(runtime_, id, true, making_->op,
                      while_here([this](result<void> x) {
                        if (!x) {
                          fail_making(x.why());
                          return;
                        }
                        // What the half one wrote is nobody's, and may end in a torn record.
                        undo_log(while_here([this] { begin_making(); }));
                      }));
}

// Whole: created and waiting, or run and running. It goes on as if we had been there.
/// @param terminal Its streams, if they are a terminal's, which was taken already.
void container_state::adopt_made(const outcome& made, std::shared_ptr<process_streams> terminal) {
  auto go_on = [this, made, terminal] {
    auto& entry = processes_[init];
    auto streams = terminal ? std::move(*terminal)
                            : adopt_streams(*host, names(init, entry.serial), making_->spec.log());
    // It may have been closed while it was made.
    const bool closed = view()->init()->stdin_closed || !making_->spec.with_stdin();
    if (closed) {
      streams.stdin_pipe.reset();
      drop_stdin(*host, entry.serial);
    }
    spawn_process(init, entry.serial, std::move(streams), closed);
    on_made(made);
  };
  const auto& args = making_->spec.args();
  making_->args.assign(args.begin(), args.end());
  if (!args.empty()) {
    go_on();
    return;
  }
  runtime::read_command(host->loop, host->bundle_dir(instance_),
                        while_here([this, go_on](result<std::vector<std::string>> command) {
                          if (command)
                            making_->args = std::move(*command);
                          else
                            io::log_warn("container={}: {}", who.id, command.why().text());
                          go_on();
                        }));
}

void container_state::orphan_exec_ended(const std::string& process_id) {
  auto& entry = processes_[process_id];
  auto& work = *execs_.at(process_id);
  auto made = runtime::made_before(
    host->loop.sys(), host->reaper,
    runtime::exec_pid_file(host->bundle_dir(instance_), hex16(entry.serial)));
  if (made && work.request.spec().terminal()) {
    take_exec_terminal(process_id, take_terminal_again(*host, names(process_id, entry.serial),
                                                       work.request.spec().log()));
    on_exec_made(process_id,
                 {.failed = {}, .pid = made->key.pid, .start_ticks = made->key.start_ticks});
    return;
  }
  if (made) {
    spawn_process(process_id, entry.serial,
                  adopt_streams(*host, names(process_id, entry.serial), work.request.spec().log()),
                  !work.request.spec().with_stdin());
    on_exec_made(process_id,
                 {.failed = {}, .pid = made->key.pid, .start_ticks = made->key.start_ticks});
    return;
  }
  host->shelved.erase(entry.serial);
  host->shelved_stdin.erase(entry.serial);
  host->shelved_consoles.erase(entry.serial);
  // What the half one wrote is nobody's, and may end in a torn record.
  remove_logs(*host, entry.serial, while_here([this, process_id] {
    if (at_ == phase::running)
      prepare_exec(process_id);
    else
      fail_exec(process_id, refusal("it ended before the process ran"));
  }));
}

void container_state::adopt_phase(const runtime::container_view& v) {
  const v1::By by = v.intent_by.value_or(v1::By{});
  if (at_ != phase::creating && at_ != phase::stopped) {
    watch_oom();
    oom_->check(run_); // What happened while nobody watched.
  }
  switch (at_) {
    case phase::creating:
      making_ = std::make_shared<making>();
      making_->spec.ParseFromString(v.spec);
      making_->by = by;
      making_->request_id = v.intent_request;
      making_->run = v.start_wanted;
      making_->fresh = run_ > 1;
      making_->op = v.op;
      making_->durable = true;
      making_->in_steps = making_->run && !making_->fresh && making_->spec.terminal();
      if (journal::Restore from; from.ParseFromString(v.restore) && !from.dir().empty())
        making_->restore = std::move(from);
      await_orphan(v.op, init);
      return;
    case phase::starting:
      adopt_start(v);
      making_->op = v.op; // Done once more it is known by the same: we may die again.
      await_orphan(v.op, init);
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
      // What the last run left behind is killed behind the record of its end: it may not
      // have come to that.
      if (auto g = group(); g.populated())
        if (auto killed = g.kill_all(); !killed)
          io::log_warn("container={}: {}", who.id, killed.why().text());
      if (remove_on_exit_)
        begin_remove({}, {}, false, 0);
      return;
    case phase::created:
      if (v.start_wanted && v.init()->phase == phase_t::created) { // The second step is missing.
        adopt_start(v);
        making_->op = host->next_op++;
        begin_start(by, v.intent_request, making_->op);
        enter(phase::starting);
      }
      return;
    case phase::running:
    case phase::gone:
    case phase::count_:
      return;
  }
}

} // namespace gantry::actors
