#include "actors/process.hpp"

#include <csignal>
#include <poll.h>

#include "io/scheduler.hpp"

namespace gantry::actors {

namespace {
constexpr auto drain_patience = std::chrono::seconds(10);
}

process_state::~process_state() {
  if (setup.host == nullptr)
    return;
  setup.host->actors.erase(self->id());
  if (setup.streams.pump)
    setup.host->outputs.remove_pump(setup.who.serial);
  forget_pump();
}

void process_state::forget_pump() {
  const auto at = setup.host->pumps.find(setup.who.serial);
  if (at != setup.host->pumps.end() && at->second == setup.streams.pump.get())
    setup.host->pumps.erase(at);
}

void process_state::take_up() {
  setup.host->actors.emplace(self->id(), self->address());
  if (setup.streams.pump) {
    setup.host->pumps[setup.who.serial] = setup.streams.pump.get();
    setup.host->outputs.add_pump(setup.who.serial, *setup.streams.pump);
    join_fifos();
    setup.host->logs.notify(setup.who.serial); // Whoever waits for its streams.
  }
  if (setup.settled) {
    settled_ = drained_ = io_open_ = true;
    await_close();
    return;
  }
  if (setup.key.pid == 0)
    return;
  if (setup.death) {
    key_ = setup.key;
    started_ = setup.started;
    on_died(*setup.death);
  } else {
    made(setup.key, setup.started);
  }
}

void process_state::join_fifos() {
  auto fifos = take_fifos(*setup.host, setup.who.serial);
  if (!fifos[0] && !fifos[1] && !fifos[2])
    return;
  process_actor me{self};
  relay_ = std::make_shared<fifo_relay>(
    *setup.host, setup.who, std::move(fifos),
    [address = caf::actor_cast<caf::actor_addr>(me)](std::string bytes) {
      if (auto actor = caf::actor_cast<process_actor>(address))
        caf::anon_send(actor, atom::fed::value, std::move(bytes));
    });
  relay_->begin();
}

void process_state::made(io::process_key key, bool running) {
  if (stopping_)
    return;
  key_ = key;
  started_ = running;
  auto* host = setup.host;
  process_actor me{self};
  // The record comes before the reaper gives the keeper's entry back: a death is never only
  // in our memory. The handle keeps the actor until then; `forget` lets it go.
  // systemd removes a scope as soon as nobody lives there, and its counters with it.
  const auto* c = host->ledger.now().find(setup.who.container);
  const auto oom = c != nullptr && c->by_systemd ? setup.oom : nullptr;
  const bool fresh = host->reaper.watch(key, [host, me, oom, who = setup.who](const io::death& d) {
    if (oom && d.status.signal == SIGKILL)
      oom->look(who.run);
    auto r = record_for(who);
    r.set_pid(d.who.pid);
    auto* died = r.mutable_died();
    died->set_known(d.status.known);
    died->set_code(d.status.code);
    died->set_signal(d.status.signal);
    died->set_core(d.status.core);
    died->set_at_ns(d.realtime_ns);
    died->set_max_rss_bytes(d.status.max_rss_bytes);
    const auto seq = host->ledger.record(r);
    caf::anon_send(me, atom::died::value,
                   ended{d.status.known, d.status.code, d.status.signal, d.status.core,
                         d.realtime_ns, seq, d.status.max_rss_bytes});
  });
  GANTRY_CHECK(fresh);
}

void process_state::started() {
  started_ = true;
  if (drained_)
    settle(io_open_);
}

void process_state::on_died(const ended& e) {
  if (stopping_)
    return; // It is recorded: the next life settles it.
  death_ = e;
  end_stdin();
  if (!setup.streams.pump) {
    on_drained(false);
    return;
  }
  setup.streams.pump->drain([me = process_actor{self}](bool io_open) {
    caf::anon_send(me, atom::drained::value, io_open);
  });
  // A log disk that takes nothing must not keep the exit back. The pump goes on trying.
  drain_limit_ = std::make_unique<io::timer>(setup.host->loop);
  drain_limit_->start(drain_patience, [me = process_actor{self}] {
    caf::anon_send(me, atom::drained::value, true);
  });
}

void process_state::on_drained(bool io_open) {
  drain_limit_.reset();
  if (stopping_)
    return;
  if (drained_) { // The pump's own word, behind the limit.
    if (settled_ && !io_open)
      on_closed();
    return;
  }
  drained_ = true;
  io_open_ = io_open;
  if (started_)
    settle(io_open);
  else
    self->send(setup.parent, atom::unstarted::value, setup.who.process, *death_);
}

template <class... Ts>
void process_state::tell_parent(Ts... xs) {
  auto* l = &setup.host->loop;
  auto address = caf::actor_cast<caf::actor_addr>(setup.parent);
  l->post([l, address, xs...] {
    l->post([address, xs...] {
      if (auto parent = caf::actor_cast<container_actor>(address))
        caf::anon_send(parent, xs...);
    });
  });
}

/// The checkpoint that was being taken and was to end it; empty where it ended otherwise.
std::string process_state::ended_by_checkpoint() const {
  const auto* c = setup.host->ledger.now().find(setup.who.container);
  if (c == nullptr || c->state != v1::CHECKPOINTING || c->init() == nullptr
      || c->init()->cause != c->intent_seq)
    return {};
  journal::Checkpointing intent;
  return intent.ParseFromString(c->checkpointing) ? intent.what().name() : std::string();
}

/// What the counters say now is recorded before the exit. False: who was killed stands in the
/// kernel's log, which is still being read; the exit is settled when it is.
bool process_state::settle_oom() {
  const bool by_kill = death_->signal == SIGKILL;
  if (!setup.is_init && !by_kill)
    return true;
  if (std::exchange(log_read_, true))
    return setup.oom->settle(setup.who.run, by_kill, {});
  const process_actor me{self};
  return setup.oom->settle(
    setup.who.run, by_kill, [address = caf::actor_cast<caf::actor_addr>(me)] {
      if (auto actor = caf::actor_cast<process_actor>(address))
        caf::anon_send(actor, atom::started::value); // It is; and its exit is settled then.
    });
}

void process_state::put_oom(v1::Exit& x) {
  if (setup.is_init)
    x.set_oom_victim(setup.oom->victim());
  if (death_->signal != SIGKILL)
    return;
  const bool by_policy = x.ended_by() == "oom"; // The rest of it, too.
  auto level = setup.oom->claim(setup.who.process, key_.pid, death_->at_ns, by_policy);
  if (level.empty())
    return;
  x.set_oom(true);
  x.set_oom_level(std::move(level));
}

v1::Exit process_state::make_exit(bool io_open) {
  v1::Exit x;
  x.set_signal(death_->signal);
  x.set_core_dumped(death_->core);
  x.set_exited_at_ns(death_->at_ns);
  x.set_status_unknown(!death_->known);
  x.set_io_open(io_open);
  x.set_max_rss_bytes(death_->max_rss_bytes);
  if (death_->known && death_->signal == 0)
    x.set_exit_code(death_->code);
  if (setup.is_init && death_->signal == SIGKILL)
    x.set_checkpoint(ended_by_checkpoint());
  const auto* c = setup.host->ledger.now().find(setup.who.container);
  const auto* p = c != nullptr ? c->process(setup.who.process) : nullptr;
  if (p != nullptr && (p->ended_signal == SIGTERM || p->ended_signal == death_->signal))
    x.set_ended_by(p->ended_by);
  put_oom(x);
  if (!setup.is_init) {
    const auto used = setup.host->exec_group(setup.who.container, setup.who.serial).used();
    x.set_cpu_ns(used.all_ns);
    x.set_cpu_user_ns(used.user_ns);
    x.set_cpu_system_ns(used.system_ns);
  }
  if (setup.streams.pump) {
    const auto totals = setup.streams.pump->totals();
    x.set_stdout_bytes(totals.bytes[0]);
    x.set_stderr_bytes(totals.bytes[1]);
    x.set_stdout_dropped(totals.dropped[0]);
    x.set_stderr_dropped(totals.dropped[1]);
  }
  return x;
}

void process_state::settle(bool io_open) {
  if (settled_ || stopping_ || !settle_oom())
    return;
  settled_ = true;
  auto x = make_exit(io_open);
  auto r = record_for(setup.who);
  r.set_pid(key_.pid);
  *r.mutable_exited()->mutable_exit() = x;
  if (const auto* c = setup.host->ledger.now().find(setup.who.container))
    if (const auto* p = c->process(setup.who.process))
      r.set_cause(p->cause == 0 && x.oom() ? c->oom_seq : p->cause);
  x.set_seq(setup.host->ledger.record(r));
  setup.host->logs.notify(setup.who.serial);
  tell_parent(atom::settled::value, setup.who.process, x);
  if (io_open)
    await_close();
  else
    release();
}

/// Somebody else holds a stream: the log goes on until the last writer leaves.
void process_state::await_close() {
  if (!std::exchange(setup.stdin_closed, true))
    drop_stdin(*setup.host, setup.who.serial); // Nobody can write into it any more.
  setup.streams.pump->at_end(
    [me = process_actor{self}] { caf::anon_send(me, atom::closed::value); });
}

void process_state::on_closed() {
  if (releasing_ || stopping_)
    return;
  const auto totals = setup.streams.pump->totals();
  auto r = record_for(setup.who);
  r.mutable_output_closed()->set_stdout_bytes(totals.bytes[0]);
  r.mutable_output_closed()->set_stderr_bytes(totals.bytes[1]);
  setup.host->ledger.record(r);
  setup.host->logs.notify(setup.who.serial);
  release();
}

void process_state::release() {
  if (releasing_ || stopping_)
    return;
  releasing_ = true;
  end_stdin();
  if (!setup.streams.pump) {
    on_released();
    return;
  }
  setup.streams.pump->finish(
    [me = process_actor{self}] { caf::anon_send(me, atom::released::value); });
}

void process_state::on_released() {
  if (auto waiting = std::exchange(rest_, std::nullopt))
    waiting->deliver(atom::shutdown::value);
  if (relay_) {
    relay_->leave();
    relay_.reset();
    drop_kind(*setup.host, shelf_fifos, setup.who.serial);
  }
  setup.host->outputs.remove_pump(setup.who.serial);
  forget_pump();
  setup.streams.pump.reset();
  setup.streams.terminal.reset();
  drop_streams(*setup.host, setup.who.serial);
  setup.host->logs.notify(setup.who.serial);
  if (key_.pid > 0)
    setup.host->reaper.forget(key_);
  tell_parent(atom::released::value, setup.who.process);
  // By message: a quit from a callback of io is not heard before the next message comes.
  caf::anon_send_exit(process_actor{self}, caf::exit_reason::user_shutdown);
}

caf::result<atom::shutdown> process_state::shutdown() {
  drain_limit_.reset(); // It holds this actor, and would speak to it after the system is gone.
  if (key_.pid > 0)
    setup.host->reaper.forget(key_);
  end_stdin();
  if (!setup.streams.pump) {
    self->quit();
    return atom::shutdown::value;
  }
  auto promise = self->make_response_promise<atom::shutdown>();
  if (releasing_) { // The pump comes to rest by itself, and must not be cut off.
    rest_ = promise;
    return promise;
  }
  stopping_ = true;
  setup.streams.pump->stop([me = process_actor{self}, this, promise]() mutable {
    setup.host->outputs.remove_pump(setup.who.serial);
    forget_pump();
    setup.streams.pump.reset();
    caf::anon_send_exit(process_actor{self}, caf::exit_reason::user_shutdown);
    promise.deliver(atom::shutdown::value);
  });
  return promise;
}

process_actor::behavior_type process(process_actor::stateful_pointer<process_state> self,
                                     std::shared_ptr<process_setup> setup) {
  io::abort_on_surprise(*self);
  self->state.self = self;
  self->state.setup = std::move(*setup);
  self->state.take_up();
  return {
    [self](atom::made, int32_t pid, uint64_t ticks, bool running) {
      self->state.made({pid, ticks}, running);
    },
    [self](atom::started) { self->state.started(); },
    [self](atom::died, const ended& e) { self->state.on_died(e); },
    [self](atom::drained, bool io_open) { self->state.on_drained(io_open); },
    [self](atom::closed) { self->state.on_closed(); },
    [self](atom::release) { self->state.release(); },
    [self](atom::released) { self->state.on_released(); },
    [self](const v1::WriteStdinRequest& req) { return self->state.write_stdin(req); },
    [self](const v1::By& by, const v1::CloseStdinRequest& req) {
      return self->state.close_stdin(by, req);
    },
    [self](const v1::ResizeRequest& req) { return self->state.resize(req); },
    [self](atom::fed, const std::string& bytes) { self->state.on_fed(bytes); },
    [self](atom::writable, int32_t) { self->state.on_writable(); },
    [self](atom::shutdown) { return self->state.shutdown(); },
  };
}

} // namespace gantry::actors
