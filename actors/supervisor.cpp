#include "actors/supervisor.hpp"

#include "io/scheduler.hpp"
#include "runtime/after_messages.hpp"
#include "runtime/bundle.hpp"
#include "runtime/cgroup_driver.hpp"

namespace gantry::actors {

caf::result<v1::CreateReply> supervisor_state::create(const v1::By& by, v1::CreateRequest req) {
  auto name = runtime::checked_name(req.ref());
  if (!name)
    return to_caf(name.why());
  if (ending_)
    return to_caf({ec::unavailable, "gantryd is going away", "ask again when it is back"});
  if (containers_.contains(*name))
    return to_caf({ec::already_exists, "container \"" + name->id + "\" exists already",
                   "remove it (gantry rm " + name->id + ") or choose another name"});
  if (auto checked = runtime::check_spec(req.spec()); !checked)
    return to_caf(checked.why());
  if (auto fine = runtime::check_dependencies(
        host->ledger.now(), *name, req.spec(),
        req.start() || !req.checkpoint_dir().empty(), req.checkpoint_dir().empty(),
        host->loop.sys().realtime().count());
      !fine)
    return to_caf(fine.why());
  if (const auto& own = req.spec().cgroup_parent(); host->options.systemd_cgroups && !own.empty())
    if (auto fine = runtime::check_slice("cgroup_parent", own); !fine)
      return to_caf(fine.why());
  if (!req.checkpoint_dir().empty()) {
    if (auto checked = runtime::check_images(req.checkpoint_dir()); !checked)
      return to_caf(checked.why());
    req.set_start(true); // What is restored runs.
  }
  if (auto room = host->room_for_process(*name); !room)
    return to_caf(room.why());
  auto runtime = req.spec().runtime().empty() && !host->options.runtime.empty()
                   ? result<std::string>{host->options.runtime}
                   : runtime::find_runtime(host->loop.sys(), req.spec().runtime(),
                                           host->cgroups.mode == runtime::cgroup_mode::v2);
  if (!runtime)
    return to_caf(runtime.why());
  req.mutable_spec()->set_runtime(*runtime);
  auto actor = self->spawn(container, host, *name);
  containers_.emplace(*name, actor);
  return self->delegate(actor, by, req);
}

result<container_actor> supervisor_state::find(const v1::Ref& ref) const {
  auto name = runtime::checked_name(ref);
  if (!name)
    return std::move(name).why();
  if (auto at = containers_.find(*name); at != containers_.end())
    return at->second;
  return error{ec::not_found,
               "no such container \"" + name->id + "\" in namespace \"" + name->ns + "\"",
               "gantry ps -a lists them"};
}

template <class Reply, class Request>
caf::result<Reply> supervisor_state::forward(const v1::By& by, const Request& req) {
  auto target = find(req.ref());
  if (!target)
    return to_caf(target.why());
  return self->delegate(*target, by, req);
}

void supervisor_state::adopt() {
  for (const auto& [name, view] : host->ledger.now().all())
    containers_.emplace(name, self->spawn(container, host, name));
  for (const auto& [name, actor] : containers_)
    self->send(actor, atom::adopt::value);
}

void supervisor_state::gone(const std::string& ns, const std::string& id) {
  containers_.erase({ns, id});
}

caf::result<atom::shutdown> supervisor_state::shutdown() {
  ending_ = true;
  auto promise = self->make_response_promise<atom::shutdown>();
  auto left = std::make_shared<size_t>(containers_.size() + 1);
  auto one_less = [this, left, promise]() mutable {
    if (--*left == 0) {
      promise.deliver(atom::shutdown::value);
      self->quit();
    }
  };
  for (const auto& [name, actor] : containers_)
    self->request(actor, caf::infinite, atom::shutdown::value)
      .then([one_less](atom::shutdown) mutable { one_less(); },
            [one_less](caf::error&) mutable { one_less(); }); // It was on its way out.
  one_less();
  return promise;
}

supervisor_actor::behavior_type
supervisor(supervisor_actor::stateful_pointer<supervisor_state> self, services* host) {
  io::abort_on_surprise(*self);
  auto* st = &self->state;
  st->self = self;
  st->host = host;
  using v1::By;
  return {
    [st](const By& by, const v1::CreateRequest& r) { return st->create(by, r); },
    [st](const By& by, const v1::StartRequest& r) { return st->forward<v1::StartReply>(by, r); },
    [st](const By& by, const v1::KillRequest& r) { return st->forward<v1::KillReply>(by, r); },
    [st](const By& by, const v1::StopRequest& r) { return st->forward<v1::StopReply>(by, r); },
    [st](const By& by, const v1::PauseRequest& r) { return st->forward<v1::PauseReply>(by, r); },
    [st](const By& by, const v1::ResumeRequest& r) { return st->forward<v1::ResumeReply>(by, r); },
    [st](const By& by, const v1::UpdateRequest& r) { return st->forward<v1::UpdateReply>(by, r); },
    [st](const By& by, const v1::RemoveRequest& r) { return st->forward<v1::RemoveReply>(by, r); },
    [st](const By& by, const v1::CheckpointRequest& r) {
      return st->forward<v1::CheckpointReply>(by, r);
    },
    [st](const By& by, const v1::RemoveCheckpointRequest& r) {
      return st->forward<v1::RemoveCheckpointReply>(by, r);
    },
    [st](const By& by, const v1::ExecRequest& r) { return st->forward<v1::ExecReply>(by, r); },
    [st](const By& by, const v1::RunProbeRequest& r) {
      return st->forward<v1::RunProbeReply>(by, r);
    },
    [st](const By& by, const v1::WriteStdinRequest& r) {
      return st->forward<v1::WriteStdinReply>(by, r);
    },
    [st](const By& by, const v1::CloseStdinRequest& r) {
      return st->forward<v1::CloseStdinReply>(by, r);
    },
    [st](const By& by, const v1::ResizeRequest& r) { return st->forward<v1::ResizeReply>(by, r); },
    [st](atom::adopt) { st->adopt(); },
    [st](atom::gone, const std::string& ns, const std::string& id) { st->gone(ns, id); },
    [st](atom::shutdown) { return st->shutdown(); },
  };
}

} // namespace gantry::actors
