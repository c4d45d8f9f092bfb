#include <array>

#include <poll.h>
#include <unistd.h>

#include "apps/gantry/foreground.hpp"
#include "apps/gantry/objects.hpp"
#include "apps/gantry/raw_terminal.hpp"
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

/// The terminal that is made begins with the size of ours.
template <class Spec>
std::optional<error> set_terminal(bool input, Spec& spec) {
  if (input && ::isatty(STDIN_FILENO) != 1)
    return error{ec::invalid_argument, "our stdin is not a terminal",
                 "leave -t out, or run it in a terminal"};
  if (const auto size = terminal_size_of(STDOUT_FILENO); size.width() != 0)
    *spec.mutable_terminal_size() = size;
  return std::nullopt;
}

attach_plan plan_for(session& s, const v1::Ref& ref, bool input) {
  attach_plan plan;
  plan.ref = ref;
  plan.input = input;
  plan.close_stdin = true;
  plan.replay = true;
  plan.keys = s.opt.detach_keys;
  return plan;
}

/// It is started once we listen: no byte and no key comes too early.
int run_in_terminal(session& s, foreground& front, v1::CreateRequest& r) {
  if (auto why = set_terminal(s.opt.interactive, *r.mutable_spec()))
    return failed(*why);
  r.set_start(false);
  auto reply = front.ask<v1::CreateReply>("/gantry.v1.Containers/Create", r);
  if (!reply)
    return failed(reply.why());
  auto plan = plan_for(s, r.ref(), s.opt.interactive);
  plan.instance = reply->instance();
  plan.start = true;
  return front.join(plan);
}

} // namespace

int run_command(session& s) {
  constexpr const char* method = "/gantry.v1.Containers/Create";
  v1::CreateRequest r;
  const std::string id = s.opt.name.empty() ? fresh_container_id() : s.opt.name;
  *r.mutable_ref() = s.ref(id);
  *r.mutable_spec() = s.opt.spec;
  r.set_start(s.opt.verb == "run");
  r.set_checkpoint_dir(s.opt.from_images);
  r.set_request_id(fresh_request_id());
  if (s.opt.detach || !r.start()) {
    auto reply = s.way.ask<v1::CreateReply>(method, r);
    return reply ? say_created(s, id, *reply) : failed(reply.why());
  }
  // From here on: one that comes early reaches the container later.
  signal_inbox signals(s.opt.spec.terminal());
  foreground front(s, signals);
  if (s.opt.spec.terminal())
    return run_in_terminal(s, front, r);
  r.set_start(!s.opt.spec.remove_on_exit());
  auto reply = front.ask<v1::CreateReply>(method, r);
  if (!reply)
    return failed(reply.why());
  if (!r.start())
    return front.start_and_follow(r.ref(), reply->instance(), s.opt.interactive);
  return front.follow(r.ref(), "", reply->instance(), s.opt.interactive);
}

namespace {

void print_ends(const char* stream, const v1::Output& from, sink& to) {
  to.put(from.head());
  to.flush();
  if (from.omitted_bytes() > 0)
    say_note(std::to_string(from.omitted_bytes()) + " bytes of " + stream + " are left out here");
  to.put(from.tail());
  to.flush();
}

int exec_and_collect(session& s, const v1::ExecRequest& exec) {
  v1::ExecSyncRequest r;
  *r.mutable_ref() = exec.ref();
  r.set_process(exec.process());
  *r.mutable_spec() = exec.spec();
  r.set_request_id(exec.request_id());
  if (s.opt.head_bytes)
    r.set_head_bytes(*s.opt.head_bytes);
  if (s.opt.tail_bytes)
    r.set_tail_bytes(*s.opt.tail_bytes);
  auto reply = s.way.ask<v1::ExecSyncReply>("/gantry.v1.Processes/ExecSync", r);
  if (!reply)
    return failed(reply.why());
  sink out(STDOUT_FILENO);
  sink err(STDERR_FILENO);
  print_ends("stdout", reply->stdout(), out);
  print_ends("stderr", reply->stderr(), err);
  while (out.waiting() + err.waiting() > 0) {
    std::array<pollfd, 2> set{out.want(), err.want()};
    ::poll(set.data(), set.size(), -1);
    out.flush();
    err.flush();
  }
  if (!reply->exit().ended_by().empty())
    say_note("it was ended by gantry: " + reply->exit().ended_by());
  return exit_code_of_exit(reply->exit());
}

} // namespace

int exec_command(session& s) {
  constexpr const char* method = "/gantry.v1.Processes/Exec";
  const std::string id = s.opt.ids.front();
  v1::ExecRequest r;
  *r.mutable_ref() = s.ref(id);
  r.set_process(s.opt.name);
  *r.mutable_spec() = s.opt.process_spec;
  r.set_request_id(fresh_request_id());
  if (s.opt.sync)
    return exec_and_collect(s, r);
  if (s.opt.detach) {
    auto reply = s.way.ask<v1::ExecReply>(method, r);
    return reply ? say_exec(s, id, *reply) : failed(reply.why());
  }
  const bool terminal = s.opt.process_spec.terminal();
  signal_inbox signals(terminal);
  foreground front(s, signals);
  if (terminal)
    if (auto why = set_terminal(s.opt.interactive, *r.mutable_spec()))
      return failed(*why);
  auto reply = front.ask<v1::ExecReply>(method, r);
  if (!reply)
    return failed(reply.why());
  if (s.opt.process_spec.on_disconnect() != v1::KEEP)
    front.hold();
  if (terminal) {
    auto plan = plan_for(s, r.ref(), s.opt.interactive);
    plan.process = reply->process();
    plan.instance = reply->instance();
    return front.join(plan);
  }
  return front.follow(r.ref(), reply->process(), reply->instance(), s.opt.interactive);
}

} // namespace gantry::cli
