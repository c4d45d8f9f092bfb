#include <ctime>

#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/table.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

std::string to_json(const session& s, const std::string& id, const v1::Checkpoint& c) {
  return s.about(id)
    .text("name", c.name())
    .text("dir", c.dir())
    .time("created_at", c.created_at_ns())
    .number("run", c.run())
    .flag("left_running", c.left_running())
    .flag("tcp_established", c.tcp_established())
    .flag("file_locks", c.file_locks())
    .flag("external_unix", c.external_unix())
    .flag("foreign_dir", c.foreign_dir())
    .done();
}

int create_checkpoint(session& s, const std::string& id, const std::string& name) {
  auto r = s.opt.checkpoint;
  *r.mutable_ref() = s.ref(id);
  r.set_name(name);
  r.set_request_id(fresh_request_id());
  auto reply = s.way.ask<v1::CheckpointReply>("/gantry.v1.Containers/Checkpoint", r);
  if (!reply)
    return failed(reply.why());
  print((s.opt.json ? s.about(id)
                        .text("name", reply->name())
                        .text("dir", reply->dir())
                        .number("seq", reply->seq())
                        .done()
                    : reply->name())
        + "\n");
  return 0;
}

int list_checkpoints(session& s, const std::string& id) {
  v1::ListCheckpointsRequest r;
  *r.mutable_ref() = s.ref(id);
  auto reply = s.way.ask<v1::ListCheckpointsReply>("/gantry.v1.Containers/ListCheckpoints", r);
  if (!reply)
    return failed(reply.why());
  table t({"NAME", "RUN", "CREATED", "CONTAINER", "DIRECTORY"});
  std::string out;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  for (const auto& c : reply->checkpoints()) {
    const int64_t age = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec - c.created_at_ns();
    if (s.opt.json)
      out += to_json(s, id, c) + "\n";
    else
      t.add({c.name(), std::to_string(c.run()), age_text(age) + " ago",
             c.left_running() ? "went on" : "ended", c.dir()});
  }
  print(s.opt.json ? out : t.text());
  return 0;
}

int remove_checkpoint(session& s, const std::string& id, const std::string& name) {
  v1::RemoveCheckpointRequest r;
  *r.mutable_ref() = s.ref(id);
  r.set_name(name);
  r.set_request_id(fresh_request_id());
  auto reply
    = s.way.ask<v1::RemoveCheckpointReply>("/gantry.v1.Containers/RemoveCheckpoint", r);
  if (!reply)
    return failed(reply.why());
  print((s.opt.json ? s.about(id).text("name", name).number("seq", reply->seq()).done() : name)
        + "\n");
  return 0;
}

} // namespace

int checkpoint_command(session& s) {
  const auto& words = s.opt.ids;
  const auto& what = words.front();
  const size_t least = what == "rm" ? 3 : 2;
  const size_t most = what == "create" ? 3 : what == "ls" ? 2 : 64;
  if ((what != "create" && what != "ls" && what != "rm") || words.size() < least
      || words.size() > most)
    return failed({ec::invalid_argument, "this is no use of gantry checkpoint",
                   "checkpoint create ID [NAME], checkpoint ls ID, checkpoint rm ID NAME..."});
  if (what == "create")
    return create_checkpoint(s, words[1], words.size() > 2 ? words[2] : std::string{});
  if (what == "ls")
    return list_checkpoints(s, words[1]);
  int code = 0;
  for (size_t i = 2; i < words.size(); ++i)
    if (const int c = remove_checkpoint(s, words[1], words[i]); code == 0)
      code = c;
  return code;
}

} // namespace gantry::cli
