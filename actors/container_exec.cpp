#include "actors/container.hpp"
#include "actors/fifos.hpp"
#include "actors/terminal.hpp"
#include "io/file_ops.hpp"
#include "io/log.hpp"
#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/health_messages.hpp"

// Exec: another process in a running container.

namespace gantry::actors {

caf::result<v1::ExecReply> container_state::exec(const v1::By& by, const v1::ExecRequest& req) {
  auto promise = self->make_response_promise<v1::ExecReply>();
  try_exec(by, req, promise);
  return promise;
}

void container_state::try_exec(const v1::By& by, const v1::ExecRequest& req,
                               pending<v1::ExecReply> promise) {
  attempt<v1::ExecReply>(event::exec, promise, [this, by, req, promise](const rule&) {
    if (pauses_waiting_ > 0)
      waiting_.push_back([this, by, req, promise] { try_exec(by, req, promise); });
    else
      begin_exec(by, req, promise);
  });
}

void container_state::begin_exec(const v1::By& by, const v1::ExecRequest& req,
                                 pending<v1::ExecReply> p) {
  auto id = req.process();
  if (auto checked = runtime::check_process(req.spec()); !checked) {
    p.deliver(to_caf(checked.why()));
    return;
  }
  const auto serial = host->ledger.now().take_serial();
  if (id.empty())
    id = "exec-" + std::to_string(serial);
  const auto* v = view();
  if (processes_.contains(id) || (v != nullptr && v->process(id) != nullptr)) {
    p.deliver(to_caf({ec::already_exists,
                      "container \"" + who.id + "\" has a process \"" + id + "\" already",
                      "choose another name"}));
    return;
  }
  if (auto room = host->room_for_process(who); !room) {
    p.deliver(to_caf(room.why()));
    return;
  }
  make_exec(id, serial, by, req, std::move(p));
}

/// @param p Absent: nobody waits for it.
void container_state::make_exec(const std::string& id, uint64_t serial, const v1::By& by,
                                const v1::ExecRequest& req,
                                std::optional<pending<v1::ExecReply>> p) {
  auto work = std::make_unique<exec_making>();
  work->request = req;
  work->by = by;
  work->promise = std::move(p);
  work->op = host->next_op++;
  auto r = record(by, req.request_id());
  r.set_process(id);
  auto* e = r.mutable_exec_adding();
  *e->mutable_spec() = req.spec();
  e->set_process_serial(serial);
  e->set_op(work->op);
  host->ledger.record(r);
  processes_[id].serial = serial;
  processes_[id].run = run_;
  execs_[id] = std::move(work);
  ++execs_making_;
  prepare_exec(id);
}

void container_state::prepare_exec(const std::string& id) {
  if (probe_named(id)) // Most say nothing: the first byte makes it.
    return find_exec_user(id);
  auto logs = std::make_shared<io::path_op>(host->loop);
  const auto dir = host->log_dir(processes_[id].serial);
  logs->mkdir(dir, 0700, while_here([this, logs, dir, id](int32_t n) {
    if (n != 0 && n != -EEXIST)
      tell_exec_ready(id, from_errno(-n, "make the log directory", dir));
    else
      find_exec_user(id);
  }));
}

/// What its spec names that is not in it: names become numbers by the files of the container's
/// own root.
void container_state::find_exec_user(const std::string& id) {
  const auto& spec = execs_.at(id)->request.spec();
  if (auto fine = runtime::check_apparmor(host->loop.sys(), "apparmor_profile",
                                          spec.apparmor_profile()); !fine)
    return tell_exec_ready(id, fine);
  const auto words = runtime::identity_of(spec);
  if (words.empty())
    return open_exec_fifos(id);
  runtime::look_up_exec_identity(host->loop, host->bundle_dir(instance_), words,
                                 while_here([this, id](result<runtime::identity> ids) {
                                   if (!ids)
                                     return tell_exec_ready(id, ids.why());
                                   execs_.at(id)->identity = *std::move(ids);
                                   open_exec_fifos(id);
                                 }));
}

void container_state::open_exec_fifos(const std::string& id) {
  const auto& work = *execs_.at(id);
  open_fifos(*host, processes_[id].serial, work.request.spec().fifos(), work.by.uid(),
             while_here([this, id](const result<void>& x) { tell_exec_ready(id, x); }));
}

void container_state::tell_exec_ready(const std::string& id, const result<void>& x) {
  outcome out;
  if (!x)
    out.failed = x.why();
  caf::anon_send(container_actor{self}, atom::exec_ready::value, id, out);
}

void container_state::on_exec_ready(const std::string& id, const outcome& x) {
  auto& work = *execs_.at(id);
  if (x.failed) {
    fail_exec(id, *x.failed);
    return;
  }
  const auto& spec = work.request.spec();
  const auto bundle = host->bundle_dir(instance_);
  std::string text;
  if (const auto rc = host->loop.sys().read_small(bundle + "/config.json", text, 4u << 20);
      rc < 0) {
    fail_exec(id, from_errno(-rc, "read", bundle + "/config.json"));
    return;
  }
  const auto config = nlohmann::json::parse(text, nullptr, false);
  auto process_json =
    config.is_discarded()
      ? result<nlohmann::json>{error{ec::data_loss, bundle + "/config.json is damaged", {}}}
      : runtime::exec_process(config, spec,
                              spec.privileged() ? runtime::capability_bounds(host->loop.sys()) : 0);
  if (!process_json) {
    fail_exec(id, process_json.why());
    return;
  }
  runtime::put_identity(*process_json, work.identity);
  const auto serial = processes_[id].serial;
  auto group = exec_group(serial);
  if (auto grouped = group.make(); !grouped) {
    fail_exec(id, grouped.why());
    return;
  }
  io::discard_slot(host->keeper.memory(), host->blocks, serial);
  const auto who_is = names(id);
  auto streams = spec.terminal() ? make_console(*host, who_is)
                                 : make_streams(*host, who_is, spec.with_stdin(), spec.log());
  if (!streams) {
    fail_exec(id, streams.why());
    return;
  }
  work.streams = std::move(*streams);
  if (!spec.terminal()) // Else its streams come from the runtime.
    spawn_process(id, serial, std::move(work.streams.ours), !spec.with_stdin());
  runtime::exec_command c{runtime_, runtime::runtime_id(who), process_json->dump(), bundle,
                          hex16(serial), work.streams.numbers(), work.streams.console.path,
                          work.op, group.option()};
  host->engine.exec(std::move(c),
                    [me = container_actor{self}, id](result<runtime::made_process> made) {
                      outcome out;
                      if (made)
                        out = {.failed = {}, .pid = made->key.pid,
                               .start_ticks = made->key.start_ticks};
                      else
                        out.failed = made.why();
                      caf::anon_send(me, atom::exec_made::value, id, out);
                    });
}

void container_state::on_exec_made(const std::string& id, const outcome& x) {
  auto& work = *execs_.at(id);
  for (auto& theirs : work.streams.theirs)
    theirs.reset();
  if (x.failed) {
    auto why = *x.failed;
    // The runtime's words for a container that is gone are of no use to a client.
    if (at_ != phase::running && at_ != phase::paused && why.code == ec::runtime_failed)
      why = {ec::wrong_state, "container \"" + who.id + "\" ended before the process ran", {}};
    fail_exec(id, std::move(why));
    return;
  }
  auto& entry = processes_[id];
  if (work.request.spec().terminal() && !entry.actor) {
    const auto who_is = names(id);
    take_exec_terminal(id, take_terminal(*host, who_is, std::move(work.streams.console),
                                         work.request.spec().log()));
  }
  entry.key = {x.pid, x.start_ticks};
  entry.made = true;
  auto r = record_of(id, work.by, work.request.request_id());
  r.set_pid(x.pid);
  if (const auto* p = view() != nullptr ? view()->process(id) : nullptr)
    r.set_cause(p->intent_seq);
  r.mutable_exec_started()->set_start_ticks(x.start_ticks);
  v1::ExecReply reply;
  {
    const auto both = host->ledger.together();
    reply.set_seq(host->ledger.record(r));
    reply.set_process(id);
    reply.set_pid(x.pid);
    reply.set_instance(instance_);
    host->finish_request(work.request.request_id(), "Exec", reply);
  }
  self->send(entry.actor, atom::made::value, x.pid, x.start_ticks, true);
  watch_exec(id);
  host->loop.sys().unlink(
    runtime::exec_pid_file(host->bundle_dir(instance_), hex16(entry.serial))); // Recorded.
  if (work.promise)
    work.promise->deliver(reply);
  done_making_exec(id);
}

/// The process runs whether its terminal came or not: without one it is watched all the same.
void container_state::take_exec_terminal(const std::string& id, result<process_streams> x) {
  process_streams streams;
  if (x)
    streams = std::move(*x);
  else
    io::log_error("container={} process={}: {}", who.id, id, x.why().text());
  const auto* p = view() != nullptr ? view()->process(id) : nullptr;
  const bool closed = !execs_.at(id)->request.spec().with_stdin()
                      || (p != nullptr && p->stdin_closed);
  if (closed)
    streams.stdin_pipe.reset();
  spawn_process(id, processes_[id].serial, std::move(streams), closed);
}

void container_state::fail_exec(const std::string& id, error why) {
  auto& work = *execs_.at(id);
  for (auto& theirs : work.streams.theirs)
    theirs.reset();
  auto& entry = processes_[id];
  const auto serial = entry.serial;
  if (work.request.spec().terminal() && !entry.actor)
    close_console(*host, serial);
  forget_fifos(*host, serial);
  if (auto group = exec_group(serial); group.exists()) {
    (void)group.kill_all(); // What a runtime that was killed has left.
    leave_exec(id, serial);
  }
  if (entry.actor)
    self->send(entry.actor, atom::release::value);
  auto r = record_of(id, work.by, work.request.request_id());
  if (const auto* p = view() != nullptr ? view()->process(id) : nullptr)
    r.set_cause(p->intent_seq);
  auto* f = r.mutable_exec_failed();
  f->set_code(std::string{name_of(why.code)});
  f->set_message(why.message);
  f->set_cure(why.cure);
  {
    const auto both = host->ledger.together();
    host->ledger.record(r);
    host->fail_request(work.request.request_id(), "Exec", why);
  }
  if (work.promise)
    work.promise->deliver(to_caf(why));
  if (runtime::is_probe_process(id))
    probe_failed(id, why);
  if (entry.actor) {
    entry.ended = true;
    entry.discard = true; // Its log goes once the pump is at rest.
  } else {
    processes_.erase(id);
    host->logs.notify(serial);
    remove_logs(*host, serial, [] {});
  }
  done_making_exec(id);
}

void container_state::done_making_exec(const std::string& id) {
  execs_.erase(id);
  GANTRY_CHECK(execs_making_ > 0);
  if (--execs_making_ > 0)
    return;
  // A pause or a removal waited for the runtime to be out of the cgroup.
  ask_again();
  if (removing_)
    continue_remove();
}

} // namespace gantry::actors
