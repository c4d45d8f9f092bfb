#include "apps/gantry/foreground.hpp"
#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"

namespace gantry::cli {

namespace {

int say_created(session& s, const std::string& id, const v1::CreateReply& r) {
  if (!s.opt.json)
    print(id + "\n");
  else
    print(s.about(id)
            .number("instance", r.instance())
            .number("pid", r.pid())
            .number("seq", r.seq())
            .done() +
          "\n");
  return 0;
}

int say_exec(session& s, const std::string& id, const v1::ExecReply& r) {
  if (!s.opt.json)
    print(r.process() + "\n");
  else
    print(s.about(id)
            .text("process", r.process())
            .number("instance", r.instance())
            .number("pid", r.pid())
            .number("seq", r.seq())
            .done() +
          "\n");
  return 0;
}

} // namespace

int run_command(session& s) {
  constexpr const char* method = "/gantry.v1.Containers/Create";
  v1::CreateRequest r;
  const std::string id = s.opt.name.empty() ? fresh_container_id() : s.opt.name;
  *r.mutable_ref() = s.ref(id);
  *r.mutable_spec() = s.opt.spec;
  r.set_start(s.opt.verb == "run");
  r.set_request_id(fresh_request_id());
  if (s.opt.detach || !r.start()) {
    auto reply = s.way.ask<v1::CreateReply>(method, r);
    return reply ? say_created(s, id, *reply) : failed(reply.why());
  }
  signal_inbox signals; // From here on: one that comes early reaches the container later.
  foreground front(s, signals);
  r.set_start(!s.opt.spec.remove_on_exit());
  auto reply = front.ask<v1::CreateReply>(method, r);
  if (!reply)
    return failed(reply.why());
  if (!r.start())
    return front.start_and_follow(r.ref(), reply->instance(), s.opt.spec.with_stdin());
  return front.follow(r.ref(), "", reply->instance(), s.opt.spec.with_stdin());
}

int exec_command(session& s) {
  constexpr const char* method = "/gantry.v1.Processes/Exec";
  const std::string id = s.opt.ids.front();
  v1::ExecRequest r;
  *r.mutable_ref() = s.ref(id);
  r.set_process(s.opt.name);
  *r.mutable_spec() = s.opt.process_spec;
  r.set_request_id(fresh_request_id());
  if (s.opt.detach) {
    auto reply = s.way.ask<v1::ExecReply>(method, r);
    return reply ? say_exec(s, id, *reply) : failed(reply.why());
  }
  signal_inbox signals;
  foreground front(s, signals);
  auto reply = front.ask<v1::ExecReply>(method, r);
  if (!reply)
    return failed(reply.why());
  return front.follow(r.ref(), reply->process(), reply->instance(),
                      s.opt.process_spec.with_stdin());
}

} // namespace gantry::cli
