#include <algorithm>

#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"

namespace gantry::cli {

namespace {

/// A request that names a container and can be repeated.
template <class Request>
Request named(const session& s, const std::string& id) {
  Request r;
  *r.mutable_ref() = s.ref(id);
  r.set_request_id(fresh_request_id());
  return r;
}

/// The id, as docker prints it, or an object with the event's number.
template <class Reply>
auto show_seq(session& s) {
  return [&s](const std::string& id, const Reply& reply) {
    print((s.opt.json ? s.about(id).number("seq", reply.seq()).done() : id) + "\n");
  };
}

} // namespace

int start_command(session& s) {
  return ask_each<v1::StartReply>(
    s, "/gantry.v1.Containers/Start",
    [&s](const std::string& id) {
      auto r = named<v1::StartRequest>(s, id);
      r.set_checkpoint(s.opt.from_checkpoint);
      r.set_checkpoint_dir(s.opt.from_images);
      return r;
    },
    [&s](const std::string& id, const v1::StartReply& r) {
      print((s.opt.json ? s.about(id).number("pid", r.pid()).number("seq", r.seq()).done() : id) +
            "\n");
    });
}

int kill_command(session& s) {
  return ask_each<v1::KillReply>(
    s, "/gantry.v1.Containers/Kill",
    [&s](const std::string& id) {
      auto r = named<v1::KillRequest>(s, id);
      r.set_process(s.opt.process);
      r.set_signal(s.opt.signal);
      r.set_all(s.opt.all);
      r.set_tree(s.opt.tree);
      return r;
    },
    show_seq<v1::KillReply>(s));
}

int stop_command(session& s) {
  return ask_each<v1::StopReply>(
    s, "/gantry.v1.Containers/Stop",
    [&s](const std::string& id) {
      auto r = named<v1::StopRequest>(s, id);
      r.set_signal(s.opt.signal);
      if (s.opt.timeout_ns)
        r.set_timeout_ns(*s.opt.timeout_ns);
      return r;
    },
    [&s](const std::string& id, const v1::StopReply& r) {
      print((s.opt.json ? s.about(id).raw("exit", to_json(r.exit())).done() : id) + "\n");
    });
}

int pause_command(session& s) {
  return ask_each<v1::PauseReply>(
    s, "/gantry.v1.Containers/Pause",
    [&s](const std::string& id) { return named<v1::PauseRequest>(s, id); },
    show_seq<v1::PauseReply>(s));
}

int resume_command(session& s) {
  return ask_each<v1::ResumeReply>(
    s, "/gantry.v1.Containers/Resume",
    [&s](const std::string& id) { return named<v1::ResumeRequest>(s, id); },
    show_seq<v1::ResumeReply>(s));
}

namespace {

/// What a probe asks goes, for another question to come; its numbers stay.
void forget_question(v1::Probe& p) {
  for (auto clear : {&v1::Probe::clear_kind, &v1::Probe::clear_args, &v1::Probe::clear_shell,
                     &v1::Probe::clear_address, &v1::Probe::clear_port, &v1::Probe::clear_path,
                     &v1::Probe::clear_host, &v1::Probe::clear_headers,
                     &v1::Probe::clear_status_first, &v1::Probe::clear_status_last,
                     &v1::Probe::clear_service, &v1::Probe::clear_younger_ns,
                     &v1::Probe::clear_tls_ca})
    (p.*clear)();
}

void lay_over(const v1::HealthCheck& change, v1::HealthCheck& out) {
  if (change.ignore_throttled())
    out.set_ignore_throttled(true);
  if (!change.profile().empty())
    out.set_profile(change.profile());
  if (!change.on_unhealthy().empty())
    out.set_on_unhealthy(change.on_unhealthy());
  if (change.has_reset_after_ns())
    out.set_reset_after_ns(change.reset_after_ns());
}

/// What is said of a probe in the place of what it had.
void lay_over(const v1::Probe& said, v1::Probe& probe) {
  if (!said.args().empty() || !said.kind().empty())
    forget_question(probe);
  if (said.headers_size() > 0)
    probe.clear_headers();
  probe.MergeFrom(said);
}

bool is_removed(const v1::Probe& said) {
  return said.kind() == "none";
}

auto find_role(v1::HealthCheck& health, const std::string& role) {
  auto& all = *health.mutable_probes();
  return std::find_if(all.begin(), all.end(), [&](const auto& p) { return p.role() == role; });
}

/// Single probes of several: each is changed, added or taken away, the others stay.
v1::HealthCheck with_changes(v1::HealthCheck out, const v1::HealthCheck& change) {
  for (const auto& said : change.probes()) {
    const auto at = find_role(out, said.role());
    if (at == out.mutable_probes()->end())
      *out.add_probes() = said;
    else if (is_removed(said))
      out.mutable_probes()->erase(at);
    else
      lay_over(said, *at);
  }
  lay_over(change, out);
  return out;
}

/// Whether it has probes with roles, as Kubernetes has them.
bool has_roles(const v1::HealthCheck& health) {
  return std::any_of(health.probes().begin(), health.probes().end(), [](const auto& p) {
    return !p.role().empty() && p.role() != "check";
  });
}

/// What is to be taken away must be there.
result<void> check_removals(session& s, const std::string& id) {
  const auto& said = s.opt.spec.health().probes();
  if (std::none_of(said.begin(), said.end(), is_removed))
    return {};
  v1::InspectRequest now;
  *now.mutable_ref() = s.ref(id);
  auto detail = s.way.ask<v1::ContainerDetail>("/gantry.v1.Containers/Inspect", now);
  if (!detail)
    return detail.why();
  auto& health = *detail->mutable_spec()->mutable_health();
  for (const auto& p : said)
    if (is_removed(p) && find_role(health, p.role()) == health.mutable_probes()->end())
      return error{ec::invalid_argument,
                   "container \"" + id + "\" has no " + p.role() + " probe to take away",
                   "gantry health " + id + " lists those that it has"};
  return {};
}

/// A health check with what is given in the place of what it had; the daemon judges the whole.
v1::HealthCheck changed_health(session& s, const std::string& id) {
  const auto& change = s.opt.spec.health();
  v1::InspectRequest now;
  *now.mutable_ref() = s.ref(id);
  auto detail = s.way.ask<v1::ContainerDetail>("/gantry.v1.Containers/Inspect", now);
  if (!detail || change.probes().empty())
    return change; // The daemon says what is wrong with it.
  v1::HealthCheck out = detail->spec().health();
  if (detail->spec().has_notify() && out.probes().empty() && change.probes_size() == 1
      && change.probes(0).ByteSizeLong() == 0) { // Of what it says itself.
    lay_over(change, out);
    return out;
  }
  if (has_roles(out) && has_roles(change))
    return with_changes(std::move(out), change);
  const auto& said = change.probes(0);
  if (out.probes_size() != 1 || change.probes_size() != 1
      || (!said.role().empty() && said.role() != out.probes(0).role()))
    return change; // Other probes, not another one.
  lay_over(said, *out.mutable_probes(0));
  lay_over(change, out);
  return out;
}

} // namespace

int update_command(session& s) {
  for (const auto& id : s.opt.ids)
    if (auto fine = check_removals(s, id); !fine)
      return failed(fine.why());
  return ask_each<v1::UpdateReply>(
    s, "/gantry.v1.Containers/Update",
    [&s](const std::string& id) {
      auto r = named<v1::UpdateRequest>(s, id);
      *r.mutable_resources() = s.opt.resources;
      if (s.opt.spec.has_restart())
        *r.mutable_restart() = s.opt.spec.restart();
      if (s.opt.spec.has_health())
        *r.mutable_health() = changed_health(s, id);
      return r;
    },
    show_seq<v1::UpdateReply>(s));
}

int remove_command(session& s) {
  return ask_each<v1::RemoveReply>(
    s, "/gantry.v1.Containers/Remove",
    [&s](const std::string& id) {
      auto r = named<v1::RemoveRequest>(s, id);
      r.set_force(s.opt.force);
      return r;
    },
    show_seq<v1::RemoveReply>(s));
}

int wait_command(session& s) {
  return ask_each<v1::WaitReply>(
    s, "/gantry.v1.Containers/Wait",
    [&s](const std::string& id) {
      v1::WaitRequest r;
      *r.mutable_ref() = s.ref(id);
      r.set_process(s.opt.process);
      // A repeat after a restart must mean the container of the first question, not one
      // that has got its name since. A removed one has no detail, only a last instance.
      v1::InspectRequest now;
      *now.mutable_ref() = r.ref();
      if (auto detail = s.way.ask<v1::ContainerDetail>("/gantry.v1.Containers/Inspect", now))
        r.set_instance(detail->summary().instance());
      return r;
    },
    [&s](const std::string& id, const v1::WaitReply& r) {
      if (!s.opt.json)
        return print(std::to_string(exit_code_of_exit(r.exit())) + "\n");
      print(s.about(id)
              .text("process", s.opt.process.empty() ? "init" : s.opt.process)
              .number("instance", r.instance())
              .number("run", r.run())
              .raw("exit", to_json(r.exit()))
              .done() +
            "\n");
    });
}

} // namespace gantry::cli
