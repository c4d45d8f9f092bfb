#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/gantry/json.hpp"
#include "apps/gantry/options.hpp"
#include "apps/gantry/say.hpp"
#include "gateways/client/channel.hpp"
#include "messages/gantry.pb.h"

namespace gantry::cli {

/// What every command works with: its options and the way to gantryd.
struct session {
  explicit session(options o) : opt(std::move(o)), way(opt.socket) {}

  options opt;
  client::channel way;

  [[nodiscard]] v1::Ref ref(const std::string& id) const {
    v1::Ref r;
    r.set_namespace_(opt.ns);
    r.set_id(id);
    return r;
  }

  /// Begins an object that says which container an answer is about.
  [[nodiscard]] json_object about(const std::string& id) const {
    json_object o;
    o.text("namespace", opt.ns.empty() ? "default" : opt.ns).text("id", id);
    return o;
  }
};

/// A random name for a request, which a repeat carries again.
std::string fresh_request_id();

/// Twelve hexadecimal digits.
std::string fresh_container_id();

/// Says why and gives the exit code for it.
int failed(const error& why);

/// Our exit code for a process's end: its own, 128+N for a signal, 125 if it is unknown.
int exit_code_of_exit(const v1::Exit& x);

/// Asks about several containers at once, so that a slow one delays no other, and hands
/// over the answers in the order of the ids.
/// @param request Makes the request for an id.
/// @param show Prints one answer.
/// @returns 0, or the exit code of the first error.
template <class Reply, class Request, class Show>
int ask_each(session& s, const char* method, Request request, Show show) {
  std::vector<std::unique_ptr<client::unary<Reply>>> calls;
  for (const auto& id : s.opt.ids) {
    calls.push_back(std::make_unique<client::unary<Reply>>(method, request(id)));
    s.way.start(*calls.back());
  }
  int code = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    while (!calls[i]->finished())
      s.way.step({}, -1);
    auto reply = calls[i]->take();
    if (reply)
      show(s.opt.ids[i], *reply);
    else if (const int c = failed(reply.why()); code == 0)
      code = c;
  }
  return code;
}

// One function a command; each returns the program's exit code.
int run_command(session& s); ///< run, create
int exec_command(session& s);
int attach_command(session& s);
int start_command(session& s);
int kill_command(session& s);
int stop_command(session& s);
int pause_command(session& s);
int resume_command(session& s);
int update_command(session& s);
int checkpoint_command(session& s); ///< create, ls, rm
int health_command(session& s); ///< ID, run
int why_command(session& s);
int remove_command(session& s);
int wait_command(session& s);
int list_command(session& s);
int inspect_command(session& s);
int logs_command(session& s);
int top_command(session& s);
int stats_command(session& s);
int events_command(session& s);
int info_command(session& s);
int version_command(session& s);
int system_command(session& s);
int journal_command(session& s);
int completion_command(session& s);

} // namespace gantry::cli
