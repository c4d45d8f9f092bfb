#include "actors/container.hpp"

#include "io/log.hpp"
#include "io/scheduler.hpp"
#include "runtime/bundle.hpp"
#include "runtime/health_messages.hpp"

namespace gantry::actors {

container_state::~container_state() {
  *here_ = false;
  if (host != nullptr)
    host->actors.erase(self->id());
}

error container_state::refusal(std::string_view why) const {
  auto text = "container \"" + who.id + "\": ";
  text.append(why);
  return {ec::wrong_state, std::move(text), {}};
}

void container_state::happen(event e, std::function<void()> act) {
  const auto& r = decide(at_, e);
  switch (r.what) {
    case verdict::go:
    case verdict::done:
      act();
      return;
    case verdict::later:
      waiting_.push_back([this, e, act] { happen(e, act); });
      return;
    case verdict::refuse:
    case verdict::ignore:
      io::log_debug("container={} phase={} event={} ignored: {}", who.id, name_of(at_), name_of(e),
                    r.why);
      return;
    case verdict::bug:
      io::log_critical("container={} phase={} event={}: not possible", who.id, name_of(at_),
                       name_of(e));
      GANTRY_CHECK(!"an event came in a phase in which it cannot happen");
  }
}

void container_state::enter(phase next) {
  if (next == at_)
    return;
  const auto before = std::exchange(at_, next);
  wait_.reset();
  follow_phase(before);
  follow_notify();
  follow_run_time();
  if (before == phase::stopped || before == phase::restarting)
    host->logs.notify(processes_[init].serial); // Readers wait to hear whether it is run again.
  ask_again();
}

// What waited for a change is asked again, in order; what must wait on queues anew.
void container_state::ask_again() {
  auto again = std::move(waiting_);
  waiting_.clear();
  for (auto& f : again)
    f();
}

journal::Record container_state::record() const {
  journal::Record r;
  r.set_namespace_(who.ns);
  r.set_container(who.id);
  r.set_instance(instance_);
  r.set_run(run_);
  return r;
}

journal::Record container_state::record(const v1::By& by, const std::string& request_id) const {
  auto r = record();
  if (by.ByteSizeLong() > 0) // Nobody stands behind what the supervisor does by itself.
    *r.mutable_by() = by;
  r.set_request_id(request_id);
  return r;
}

/// One about a process belongs to the run in which that was made.
journal::Record container_state::record_of(const std::string& process, const v1::By& by,
                                           const std::string& request_id) const {
  auto r = record(by, request_id);
  r.set_process(process);
  if (auto at = processes_.find(process); at != processes_.end() && at->second.run != 0)
    r.set_run(at->second.run);
  return r;
}

process_names container_state::names(const std::string& process) const {
  const auto& entry = processes_.at(process);
  return {who, instance_, entry.run != 0 ? entry.run : run_, process, entry.serial};
}

const runtime::container_view* container_state::view() const {
  return host->ledger.now().find(who);
}

runtime::cgroup container_state::group() const {
  return host->cgroup_of(who);
}

void container_state::spawn_process(const std::string& process_id, uint64_t serial,
                                    process_streams streams, bool stdin_closed) {
  auto setup = std::make_shared<process_setup>();
  setup->host = host;
  setup->parent = container_actor{self};
  setup->streams = std::move(streams);
  setup->oom = oom_;
  setup->is_init = process_id == runtime::init_id;
  setup->stdin_closed = stdin_closed;
  auto& entry = processes_[process_id];
  const auto run = entry.run != 0 ? entry.run : run_;
  entry = process_entry{};
  entry.serial = serial;
  entry.run = run;
  setup->who = names(process_id);
  entry.actor = self->spawn(process, std::move(setup));
}

caf::result<v1::WriteStdinReply>
container_state::write_stdin(const v1::WriteStdinRequest& req) {
  const auto id = req.process().empty() ? std::string{runtime::init_id} : req.process();
  if (auto at = processes_.find(id); at != processes_.end() && at->second.actor)
    return self->delegate(at->second.actor, req);
  return to_caf({ec::not_found, "container \"" + who.id + "\" has no living process \"" + id + "\"",
                 "gantry inspect " + who.id + " lists them"});
}

caf::result<v1::CloseStdinReply>
container_state::close_stdin(const v1::By& by, const v1::CloseStdinRequest& req) {
  const auto id = req.process().empty() ? std::string{runtime::init_id} : req.process();
  if (auto at = processes_.find(id); at != processes_.end() && at->second.actor)
    return self->delegate(at->second.actor, by, req);
  return to_caf({ec::not_found, "container \"" + who.id + "\" has no living process \"" + id + "\"",
                 "gantry inspect " + who.id + " lists them"});
}

caf::result<v1::ResizeReply> container_state::resize(const v1::By& by,
                                                     const v1::ResizeRequest& req) {
  const auto id = req.process().empty() ? std::string{runtime::init_id} : req.process();
  const auto* p = view() != nullptr ? view()->process(id) : nullptr;
  if (p == nullptr || p->phase == runtime::process_view::phase_t::exited)
    return to_caf({ec::not_found,
                   "container \"" + who.id + "\" has no living process \"" + id + "\"",
                   "gantry inspect " + who.id + " lists them"});
  if (!p->terminal)
    return to_caf({ec::wrong_state, "process \"" + id + "\" of \"" + who.id + "\" has no terminal",
                   "ask for one when it is made (-t, terminal)"});
  if (auto fits = runtime::check_terminal_size(req.size()); !fits)
    return to_caf(fits.why());
  auto r = record(by, {});
  r.set_process(id);
  *r.mutable_resized()->mutable_size() = req.size();
  host->ledger.record(r);
  if (auto at = processes_.find(id); at != processes_.end() && at->second.actor)
    return self->delegate(at->second.actor, req);
  return v1::ResizeReply{}; // It is being made: the terminal gets its size when it comes.
}

void container_state::go_away() {
  if (ended_)
    return;
  ended_ = true;
  host->stuck.erase(who);
  caf::anon_send(caf::actor_cast<supervisor_actor>(host->supervisor), atom::gone::value, who.ns,
                 who.id);
  say_goodbye();
}

void container_state::say_goodbye() {
  stop_timer_.reset(); // They hold this actor.
  wait_.reset();
  restart_timer_.reset();
  run_timer_.reset();
  health_.reset();
  notify_.reset();
  // By message: a quit from a callback of io is not heard before the next message comes.
  caf::anon_send_exit(container_actor{self}, caf::exit_reason::user_shutdown);
}

void container_state::on_settled(const std::string& process_id, const v1::Exit& x) {
  const auto at = processes_.find(process_id);
  if (at != processes_.end())
    at->second.ended = true;
  if (process_id != runtime::init_id) {
    if (at != processes_.end())
      leave_exec(process_id, at->second.serial);
    if (at != processes_.end() && runtime::is_probe_process(process_id))
      probe_exited(process_id, at->second);
    if (removing_ && removing_->at == removing::step::end)
      continue_remove();
    return;
  }
  happen(event::exited, [this, x] { end_of_run(x); });
}

void container_state::end_of_run(const v1::Exit& x) {
  host->stuck.erase(who);
  // A container is over when its cgroup is empty, not when init is gone.
  if (auto g = group(); g.populated())
    if (auto killed = g.kill_all(); !killed)
      io::log_warn("container={}: {}", who.id, killed.why().text());
  if (at_ == phase::pausing) { // Whoever asked may have done so in an earlier life.
    const auto why = refusal("it ended before it was paused");
    host->fail_request(pause_request_, "Pause", why);
    if (auto p = std::exchange(pause_, std::nullopt))
      p->deliver(to_caf(why));
  }
  answer_stops(x);
  if (at_ == phase::deleting) {
    continue_remove();
    return;
  }
  come_to_stop();
}

void container_state::on_unstarted(const std::string& process_id, const ended& e) {
  GANTRY_CHECK(process_id == runtime::init_id);
  happen(event::unstarted, [this, e] {
    if (processes_[std::string{runtime::init_id}].started)
      return; // It ended while the runtime started it: `settled` follows.
    auto& entry = processes_[std::string{runtime::init_id}];
    entry.ended = true;
    if (entry.actor)
      self->send(entry.actor, atom::release::value);
    if (over())
      return; // The failure of its start was told: this is init's end that followed.
    if (at_ == phase::deleting) {
      continue_remove();
      return;
    }
    const auto why = e.signal != 0 ? "init was ended by " + runtime::signal_name(e.signal)
                                       + " before it was started"
                                   : std::string{"init ended before it was started"};
    auto r = record();
    r.set_cause(e.seq);
    r.mutable_start_failed()->set_code(std::string{name_of(ec::wrong_state)});
    r.mutable_start_failed()->set_message(why);
    r.mutable_start_failed()->set_cut_off(wait_cut_off());
    {
      const auto both = host->ledger.together();
      host->ledger.record(r);
      refuse_start(std::exchange(making_, nullptr), refusal(why));
    }
    host->stuck.erase(who);
    host->finish_request(std::exchange(stop_request_, {}), "Stop", v1::StopReply{});
    const auto stops = std::exchange(stops_, {});
    for (auto p : stops)
      p.deliver(v1::StopReply{});
    come_to_stop();
  });
}

/// Stopped: there it stays, unless it is to go by itself.
void container_state::come_to_stop() {
  const auto* p = view()->init();
  const auto cause = p->exit ? p->exit->seq() : 0;
  enter(phase::stopped);
  if (at_ != phase::stopped)
    return; // What somebody asked for meanwhile comes first.
  if (remove_on_exit_)
    begin_remove({}, {}, false, cause);
  else
    consider_restart(cause);
}

void container_state::on_released(const std::string& process_id) {
  if (auto at = processes_.find(process_id); at != processes_.end()) {
    at->second.actor = nullptr;
    if (at->second.discard) {
      remove_logs(*host, at->second.serial, [] {});
      processes_.erase(at);
    } else if (process_id != runtime::init_id && at->second.ended) {
      if (exec_group(at->second.serial).exists()) // The last writer may have been the last there.
        leave_exec(process_id, at->second.serial);
      processes_.erase(at); // The world remembers it, as long as it is to be remembered.
    }
  }
  if (making_ && making_->failed && process_id == runtime::init_id) {
    undo_making();
    return;
  }
  if (removing_ && removing_->at == removing::step::processes)
    continue_remove();
  else if (process_id == runtime::init_id)
    ask_again(); // A new run waits until the last one has let go.
}

caf::result<atom::shutdown> container_state::shutdown() {
  *here_ = false; // What is under way is finished by the next life, as after a crash.
  auto promise = self->make_response_promise<atom::shutdown>();
  auto left = std::make_shared<size_t>(1);
  auto one_less = [this, left, promise]() mutable {
    if (--*left == 0) {
      say_goodbye(); // Before the answer: whoever hears that may end the system.
      promise.deliver(atom::shutdown::value);
    }
  };
  for (auto& [id, p] : processes_)
    if (p.actor) {
      ++*left;
      self->request(p.actor, caf::infinite, atom::shutdown::value)
        .then([one_less](atom::shutdown) mutable { one_less(); },
              [one_less](caf::error&) mutable { one_less(); });
    }
  if (cgroup_watch_) {
    ++*left;
    cgroup_watch_->stop([one_less]() mutable { one_less(); });
  }
  for (auto& [process_id, w] : orphan_waits_)
    w->cancel();
  one_less();
  return promise;
}

container_actor::behavior_type container(container_actor::stateful_pointer<container_state> self,
                                         services* host, runtime::container_name who) {
  io::abort_on_surprise(*self);
  auto* st = &self->state;
  st->self = self;
  st->host = host;
  st->who = std::move(who);
  host->actors.emplace(self->id(), self->address());
  using std::string;
  return {
    [st](const v1::By& by, const v1::CreateRequest& r) { return st->create(by, r); },
    [st](const v1::By& by, const v1::StartRequest& r) { return st->start(by, r); },
    [st](const v1::By& by, const v1::KillRequest& r) { return st->kill(by, r); },
    [st](const v1::By& by, const v1::StopRequest& r) { return st->stop(by, r); },
    [st](const v1::By& by, const v1::PauseRequest& r) { return st->pause(by, r); },
    [st](const v1::By& by, const v1::ResumeRequest& r) { return st->resume(by, r); },
    [st](const v1::By& by, const v1::UpdateRequest& r) { return st->update(by, r); },
    [st](const v1::By& by, const v1::RemoveRequest& r) { return st->remove(by, r); },
    [st](const v1::By& by, const v1::CheckpointRequest& r) { return st->checkpoint(by, r); },
    [st](const v1::By& by, const v1::RemoveCheckpointRequest& r) {
      return st->remove_checkpoint(by, r);
    },
    [st](const v1::By& by, const v1::ExecRequest& r) { return st->exec(by, r); },
    [st](const v1::By& by, const v1::RunProbeRequest& r) { return st->run_probe(by, r); },
    [st](const v1::By&, const v1::WriteStdinRequest& r) { return st->write_stdin(r); },
    [st](const v1::By& by, const v1::CloseStdinRequest& r) { return st->close_stdin(by, r); },
    [st](const v1::By& by, const v1::ResizeRequest& r) { return st->resize(by, r); },
    [st](atom::adopt) { st->hear(&container_state::adopt); },
    [st](atom::bundle, const outcome& x) { st->hear(&container_state::on_bundle, x); },
    [st](atom::made, const outcome& x) { st->hear(&container_state::on_made, x); },
    [st](atom::started, const outcome& x) { st->hear(&container_state::on_started, x); },
    [st](atom::exec_ready, const string& p, const outcome& x) {
      st->hear(&container_state::on_exec_ready, p, x);
    },
    [st](atom::exec_made, const string& p, const outcome& x) {
      st->hear(&container_state::on_exec_made, p, x);
    },
    [st](atom::settled, const string& p, const v1::Exit& x) {
      st->hear(&container_state::on_settled, p, x);
    },
    [st](atom::unstarted, const string& p, const ended& e) {
      st->hear(&container_state::on_unstarted, p, e);
    },
    [st](atom::released, const string& p) { st->hear(&container_state::on_released, p); },
    [st](atom::deleted, const outcome& x) { st->hear(&container_state::on_deleted, x); },
    [st](atom::updated, const outcome& x) { st->hear(&container_state::on_updated, x); },
    [st](atom::images, const outcome& x) { st->hear(&container_state::on_checkpointed, x); },
    [st](atom::frozen) { st->hear(&container_state::on_frozen_tick); },
    [st](atom::grace, uint64_t n) { st->hear(&container_state::on_grace, n); },
    [st](atom::stuck, uint64_t n) { st->hear(&container_state::on_stuck, n); },
    [st](atom::sweep) { st->hear(&container_state::on_sweep); },
    [st](atom::overdue, const string& p, uint64_t n) {
      st->hear(&container_state::on_overdue, p, n);
    },
    [st](atom::unheld, const string& p, uint64_t n) {
      st->hear(&container_state::on_unheld, p, n);
    },
    [st](atom::probe) { st->hear(&container_state::on_probe); },
    [st](atom::probed, const string& p, const string& text) {
      st->hear(&container_state::on_probed, p, text);
    },
    [st](atom::after) { st->hear(&container_state::on_after); },
    [st](atom::overtime, uint32_t run) { st->hear(&container_state::on_overtime, run); },
    [st](atom::oom, uint64_t seq) { st->hear(&container_state::on_oom, seq); },
    [st](atom::restart, uint64_t n) { st->hear(&container_state::on_restart_due, n); },
    [st](atom::undo) { st->hear(&container_state::on_undo); },
    [st](atom::orphan, const string& p) { st->hear(&container_state::on_orphan, p); },
    [st](atom::shutdown) { return st->shutdown(); },
  };
}

} // namespace gantry::actors
