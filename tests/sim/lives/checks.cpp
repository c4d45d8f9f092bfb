#include "tests/sim/lives/checks.hpp"

#include <map>
#include <set>
#include <sys/wait.h>
#include <tuple>

#include "io/json_log.hpp"
#include "io/log_files.hpp"

namespace gantry::sim {

namespace {

using process_name = std::tuple<std::string, uint64_t, uint32_t, std::string>;

process_name name_of(const v1::Event& e) {
  return {e.container(), e.instance(), e.run(), e.process()};
}

std::string text_of(const v1::Event& e) {
  return e.type() + " of " + e.container() + "/" + std::to_string(e.instance()) + "/" +
         std::to_string(e.run()) + "/" + e.process() + " (seq " + std::to_string(e.seq()) + ")";
}

/// The process with this pid; the histories here are too short for a pid to come twice.
process_ptr by_pid(const machine& m, pid_t pid) {
  for (const auto& p : m.history())
    if (p->pid == pid)
      return p;
  return nullptr;
}

std::string words_of(const process& p) {
  std::string out;
  for (const auto& word : p.argv)
    (out += ' ') += word;
  return out;
}

bool starts(const v1::Event& e) { return e.type() == "start" || e.type() == "exec-started"; }

void check_exit(world& w, const v1::Event& start, const v1::Event& e, findings& out) {
  const auto p = by_pid(w.host, start.pid());
  if (!p)
    return out.push_back(text_of(start) + " names pid " + std::to_string(start.pid()) +
                         ", which never was");
  if (p->alive())
    return out.push_back(text_of(e) + ", but it lives");
  const auto& x = e.exit();
  const int status = p->wait_status;
  const bool right = WIFEXITED(status)
                       ? x.has_exit_code() && x.exit_code() == WEXITSTATUS(status) && !x.signal()
                       : !x.has_exit_code() && x.signal() == WTERMSIG(status);
  if (x.status_unknown() || !right)
    out.push_back(text_of(e) + ": wait status " + std::to_string(status) + " became " +
                  x.ShortDebugString());
  const uint64_t said[] = {x.stdout_bytes(), x.stderr_bytes()};
  for (size_t s = 0; s < 2; ++s)
    if (const auto& pipe = p->streams[s + 1]; pipe && !x.io_open() && said[s] != pipe->total())
      out.push_back(text_of(e) + ": stream " + std::to_string(s + 1) + " had " +
                    std::to_string(pipe->total()) + " bytes, the exit says " +
                    std::to_string(said[s]));
}

std::array<std::string, 2> logged(const machine& m, const std::string& dir, findings& out) {
  std::array<std::string, 2> text;
  std::vector<std::string> names;
  m.files.list(dir, names);
  std::erase_if(names, [](const auto& name) { return io::log_file_seq(name) == 0; });
  for (const auto& name : names) {
    const std::string all = m.files.get(dir + "/" + name);
    for (size_t at = 0; at < all.size();) {
      const size_t end = std::min(all.find('\n', at), all.size());
      io::log_piece piece;
      if (!io::parse_record(std::string_view(all).substr(at, end - at), piece)) {
        out.push_back(dir + "/" + name + ": no record at " + std::to_string(at));
        return text;
      }
      text[piece.stream - 1] += piece.bytes;
      at = end + 1;
    }
  }
  return text;
}

} // namespace

namespace {

/// One create for each run, at most one delete, and nothing behind it.
void check_instances(const std::vector<v1::Event>& events, bool all_removed, findings& out) {
  std::map<uint64_t, std::string> created, deleted;
  std::set<std::pair<uint64_t, uint32_t>> runs;
  for (const auto& e : events) {
    if (e.instance() == 0)
      continue;
    if (deleted.contains(e.instance()))
      out.push_back("after the delete of its instance: " + text_of(e));
    if (e.type() == "create" && !runs.emplace(e.instance(), e.run()).second)
      out.push_back("created twice: " + text_of(e));
    if (e.type() == "create")
      created.emplace(e.instance(), text_of(e));
    if (e.type() == "delete")
      deleted.emplace(e.instance(), text_of(e));
  }
  for (const auto& [instance, text] : created)
    if (all_removed && !deleted.contains(instance))
      out.push_back("never deleted: " + text);
}

} // namespace

void check_events(world& w, const std::vector<v1::Event>& events, bool all_removed,
                  findings& out) {
  check_instances(events, all_removed, out);
  std::map<process_name, const v1::Event*> started, exited;
  uint64_t last = 0;
  for (const auto& e : events) {
    if (e.seq() <= last)
      out.push_back("the event " + text_of(e) + " comes behind seq " + std::to_string(last));
    last = e.seq();
    if (e.type() == "gap")
      out.push_back("a gap although nothing was lost: " + e.ShortDebugString());
    if (starts(e) && !started.emplace(name_of(e), &e).second)
      out.push_back("started twice: " + text_of(e));
    if (starts(e) && exited.contains(name_of(e)))
      out.push_back("started after its exit: " + text_of(e));
    if (e.type() == "exit" && !exited.emplace(name_of(e), &e).second)
      out.push_back("exited twice: " + text_of(e));
  }
  for (const auto& [name, e] : exited)
    if (auto s = started.find(name); s == started.end())
      out.push_back("never started: " + text_of(*e));
    else
      check_exit(w, *s->second, *e, out);
  for (const auto& [name, e] : started)
    if (!exited.contains(name))
      if (const auto p = by_pid(w.host, e->pid()); !p || p->at == process::phase::reaped)
        out.push_back("no exit: " + text_of(*e) + ", pid " + std::to_string(e->pid()));
}

namespace {

/// The settled exit counts the bytes; the last unfinished line is in the file only when the
/// pump has finished.
bool being_finished(world& w, uint64_t serial) {
  io::log_totals t;
  return io::totals_in_arena(w.host.shelf_keeper.memory(), serial, t);
}

} // namespace

namespace {

/// Whether `text`, which the log has of a stream, is or ends with what the process wrote.
bool is_of(const runtime::process_view& p, const runtime::container_view& c, const process& who,
           const std::string& written, const std::string& text, size_t s) {
  const bool goes_on = who.goes_on || (p.id == runtime::init_id && c.earlier_log_files);
  if (goes_on ? !text.ends_with(written) : written != text)
    return false;
  return !p.output_closed || p.output_bytes[s] == (goes_on ? written.size() : text.size());
}

} // namespace

void check_logs(world& w, const std::string& id, findings& out) {
  const auto* c = w.shared().ledger.now().find({"default", id});
  if (!c)
    return;
  for (const auto& p : c->processes) {
    if (p.phase != runtime::process_view::phase_t::exited || !p.exit || p.io_open())
      continue;
    const auto who = by_pid(w.host, p.pid);
    if (!who || being_finished(w, p.serial))
      continue;
    const auto text = logged(w.host, w.shared().log_dir(p.serial), out);
    for (size_t s = 0; s < 2; ++s)
      // A restored one, and a restart by the policy, go on with the log of the runs before.
      if (const auto& pipe = who->streams[s + 1];
          pipe && !is_of(p, *c, *who, pipe->taken_in, text[s], s))
        out.push_back(id + "/" + p.id + ": stream " + std::to_string(s + 1) + " has " +
                      std::to_string(pipe->taken_in.size()) + " bytes, the log " +
                      std::to_string(text[s].size()) +
                      (pipe->taken_in.size() == text[s].size() ? " other" : "") + ", " +
                      p.exit->ShortDebugString());
  }
}

void check_logs(world& w, findings& out) {
  for (const auto& [name, c] : w.shared().ledger.now().all()) {
    check_logs(w, name.id, out);
    for (const auto& p : c->processes)
      if (p.exit && !p.io_open() && being_finished(w, p.serial))
        out.push_back(name.id + "/" + p.id + ": its log is not finished at rest");
  }
}

void check_list(world& w, findings& out) {
  std::set<std::string> listed;
  const auto reply = w.list();
  for (const auto& c : reply.containers()) {
    listed.insert("default." + c.id());
    const auto p = c.pid() != 0 ? w.host.find(c.pid()) : nullptr;
    const bool alive = p && p->alive();
    const bool should = c.state() == v1::CREATED || c.state() == v1::RUNNING ||
                        c.state() == v1::PAUSED;
    if (should != alive)
      out.push_back(c.id() + " is listed as " + v1::State_Name(c.state()) + ", but init " +
                    (alive ? "lives" : "does not live"));
    if (alive && (c.state() == v1::PAUSED) != w.host.groups.frozen(p->cgroup))
      out.push_back(c.id() + " is listed as " + v1::State_Name(c.state()) +
                    ", but its control group is otherwise");
  }
  for (const auto& [dir, c] : *w.oci)
    if (!listed.contains(c.id) && w.host.files.exists(dir))
      out.push_back("the runtime knows " + c.id + ", the list does not");
}

void check_nothing_left(world& w, findings& out) {
  for (const char* dir : {"/run/gantry/bundles", "/run/gantry/runtime", "/run/gantry/notify",
                          "/var/lib/gantry/logs", "/var/lib/gantry/checkpoints"})
    for (const auto& path : w.host.files.walk(dir))
      out.push_back("left behind: " + path);
  for (const auto& path : w.host.groups.paths())
    if (path.starts_with("/gantry"))
      out.push_back("left behind: control group " + path);
  for (const auto& [pid, p] : w.host.processes())
    if (p != w.host.keeper_process() && p.get() != &w.here().kernel.self())
      out.push_back("left behind: process " + std::to_string(pid) + words_of(*p));
  for (const auto& [key, kept] : w.host.shelf_keeper.shelf)
    if (key.kind != io::shelf_kind::stage) // Of the arena, not of a container.
      out.push_back("left on the shelf: " + std::to_string(key.kind) + "/" +
                    std::to_string(key.serial));
  for (const auto& slot : w.host.shelf_keeper.memory().logs())
    if (slot.serial != 0)
      out.push_back("left in the arena: log slot of " + std::to_string(slot.serial));
  for (const auto& e : w.host.shelf_keeper.memory().dead())
    if (e.full)
      out.push_back("left in the table of the dead: pid " + std::to_string(e.pid));
  if (const auto used = w.shared().blocks.used(); used != 0)
    out.push_back("left in the arena: " + std::to_string(used) + " blocks");
}

} // namespace gantry::sim
