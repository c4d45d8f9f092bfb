#include "apps/gantry/show.hpp"

#include <map>
#include <utility>
#include <vector>

#include "apps/gantry/objects.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

using lines = std::vector<std::pair<std::string, std::string>>;

/// Names in a column, values behind it.
std::string aligned(const lines& all) {
  size_t width = 0;
  for (const auto& [name, value] : all)
    width = std::max(width, name.size());
  std::string out;
  for (const auto& [name, value] : all) {
    out += name + std::string(width - name.size() + 2, ' ') + printable(value);
    out.erase(out.find_last_not_of(' ') + 1);
    out += "\n";
  }
  return out;
}

std::string used_of(uint64_t used, uint64_t all) {
  return std::to_string(used) + " of " + std::to_string(all);
}

std::string keeper_line(const v1::InfoReply& i) {
  const std::string state = i.keeper_state().empty() ? "unknown" : i.keeper_state();
  return i.keeper_pid() > 0 ? state + ", pid " + std::to_string(i.keeper_pid()) : state;
}

/// Green begins, red ends badly, yellow is worth a look.
const char* color_of(const v1::Event& e) {
  const std::string& type = e.type();
  const bool bad_exit = e.has_exit() && (!e.exit().has_exit_code() || e.exit().exit_code() != 0);
  if (bad_exit || type == "oom" || type == "gap" || type.ends_with("-failed") || type == "dead")
    return "\033[31m";
  const auto health = e.details().find("new");
  if (type == "health" && health != e.details().end() && health->second == "unhealthy")
    return "\033[31m";
  if (type == "start" || type == "exec-started" || type == "restored" || type == "health"
      || type == "ready")
    return "\033[32m";
  if (type == "paused" || type == "kill" || type == "log-blocked" || type == "keeper-lost"
      || type == "restart-scheduled" || type == "waiting")
    return "\033[33m";
  return "\033[36m";
}

/// What an event has behind its type.
std::string event_rest(const v1::Event& e) {
  std::string out;
  if (!e.container().empty()) {
    out += "  " + e.namespace_() + "/" + e.container();
    if (!e.process().empty() && e.process() != "init")
      out += "/" + e.process();
  }
  if (e.pid() > 0)
    out += "  pid=" + std::to_string(e.pid());
  if (e.has_exit()) {
    const auto& x = e.exit();
    out += x.has_exit_code() ? "  exit_code=" + std::to_string(x.exit_code())
           : x.signal() > 0  ? "  signal=" + signal_text(x.signal())
                             : "  status=unknown";
    out += x.core_dumped() ? "  core_dumped" : "";
    out += x.oom() ? "  oom=" + (x.oom_level().empty() ? "yes" : x.oom_level()) : "";
    out += "  stdout=" + std::to_string(x.stdout_bytes())
           + "  stderr=" + std::to_string(x.stderr_bytes()) + (x.io_open() ? "  io_open" : "");
  }
  const std::map<std::string, std::string> details(e.details().begin(), e.details().end());
  for (const auto& [key, value] : details)
    out += "  " + key + "=" + value;
  if (e.cause() > 0)
    out += "  cause=" + std::to_string(e.cause());
  if (e.has_by())
    out += "  by=uid:" + std::to_string(e.by().uid()) + ",pid:" + std::to_string(e.by().pid());
  if (!e.message().empty())
    out += "  " + e.message();
  return printable(out);
}

} // namespace

std::string command_text(const google::protobuf::RepeatedPtrField<std::string>& words) {
  std::string out = "\"";
  for (const auto& w : words)
    out.append(out.size() > 1 ? " " : "").append(w);
  return out + "\"";
}

std::string end_text(const v1::Exit& x) {
  std::string out = x.has_exit_code() ? std::to_string(x.exit_code())
                    : x.signal() > 0  ? signal_text(x.signal())
                                      : std::string("unknown");
  if (x.core_dumped())
    out += ", core dumped";
  if (x.oom())
    out +=
      x.oom_level().empty() || x.oom_level() == "container" ? ", OOM" : ", OOM " + x.oom_level();
  return out;
}

namespace {

/// As Docker says it; behind it what the container says itself.
std::string health_text(const v1::Container& c) {
  constexpr size_t most = 40;
  if (c.health().empty())
    return {};
  auto out = c.health() == "starting" ? " (health: starting)" : " (" + c.health() + ")";
  auto said = c.said();
  if (said.size() > most) {
    size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(said[end]) & 0xc0) == 0x80)
      --end; // No character is cut.
    said = said.substr(0, end) + "...";
  }
  return said.empty() ? out : out + " " + printable(said);
}

/// `Restarting (3) in 2 seconds, attempt 2 of 5`.
std::string restart_text(const v1::Container& c, int64_t now_ns) {
  const auto& r = c.restart();
  std::string out = "Restarting (" + (c.has_exit() ? end_text(c.exit()) : r.reason()) + ")";
  if (r.next_ns() > now_ns)
    out += " in " + age_text(r.next_ns() - now_ns);
  out += ", attempt " + std::to_string(r.attempt());
  return r.of() > 0 ? out + " of " + std::to_string(r.of()) : out;
}

/// `Waiting for db:healthy, cache:ready (5 seconds)`.
std::string waiting_text(const v1::Waiting& w, int64_t now_ns) {
  std::string out = "Waiting";
  for (const auto& u : w.unmet())
    out += (&u == &w.unmet(0) ? " for " : ", ") + u.condition();
  return out + " (" + age_text(now_ns - w.since_ns()) + ")";
}

} // namespace

std::string container_state_text(const v1::Container& c, int64_t now_ns) {
  std::string out;
  const auto since = [now_ns](int64_t ns) { return age_text(now_ns - ns); };
  if (c.state() == v1::RUNNING || c.state() == v1::PAUSED)
    out = "Up " + since(c.started_at_ns()) + (c.state() == v1::PAUSED ? " (paused)" : "")
          + health_text(c);
  else if (c.state() == v1::STOPPED && c.has_exit())
    out = "Exited (" + end_text(c.exit()) + ") " + since(c.exit().exited_at_ns()) + " ago";
  else if (c.state() == v1::DEAD)
    out = c.restart().reason().empty() ? "Dead" : "Dead (" + c.restart().reason() + ")";
  else if (c.state() == v1::RESTARTING && c.has_restart())
    out = restart_text(c, now_ns);
  else if (c.state() == v1::WAITING && c.has_waiting())
    out = waiting_text(c.waiting(), now_ns);
  else {
    out = state_text(c.state());
    out[0] = static_cast<char>(out[0] - 'a' + 'A');
  }
  if (!c.stuck().empty())
    out += " [stuck: " + c.stuck() + "]";
  return out;
}

std::string event_line(const v1::Event& e, bool colors) {
  const std::string when =
    time_text(e.time_ns()) + "  " + std::to_string(e.epoch()) + ":" + std::to_string(e.seq());
  const std::string type = printable(e.type());
  const std::string rest = event_rest(e);
  if (!colors)
    return when + "  " + type + rest;
  return "\033[2m" + when + "\033[0m  " + color_of(e) + type + "\033[0m" + rest;
}

std::string info_text(const v1::InfoReply& i, int64_t now_ns) {
  std::string slow = std::to_string(i.slow_turns()) + " over 5 ms, the longest "
                     + short_duration(i.longest_turn_ns());
  if (!i.slow_part().empty())
    slow += "; most of the last one: " + printable(i.slow_part()) + ", "
            + short_duration(i.slow_part_ns());
  const std::string journal = size_text(i.journal_disk_bytes()) + " on disk, "
                              + size_text(i.journal_pending_bytes()) + " not yet"
                              + (i.journal_disk_full() ? ", THE DISK IS FULL" : "");
  return aligned({
    {"gantryd", "pid " + std::to_string(i.pid()) + ", up " + age_text(now_ns - i.started_at_ns())
                  + ", start " + std::to_string(i.generation()) + " on this arena"},
    {"keeper", keeper_line(i)},
    {"containers",
     std::to_string(i.containers()) + ", " + std::to_string(i.running()) + " running"},
    {"events", "at " + std::to_string(i.epoch()) + ":" + std::to_string(i.seq()) + ", "
                 + std::to_string(i.events_gaps()) + " gaps"},
    {"turns", std::to_string(i.turns()) + ", " + slow},
    {"cgroups", i.cgroup_driver() + ", below " + i.cgroup_parent()},
    {"runtime", std::to_string(i.runtime_in_flight()) + " commands in flight, "
                  + std::to_string(i.runtime_queued()) + " queued"},
    {"fds", used_of(i.fds(), i.fd_limit())},
    {"memory", size_text(i.rss_bytes()) + " RSS"},
    {"arena", used_of(i.arena_blocks_used(), i.arena_blocks()) + " blocks, "
                + used_of(i.log_slots_used(), i.log_slots()) + " log slots"},
    {"journal", journal},
    {"dropped", size_text(i.stream_bytes_dropped()) + " of containers' output by policy, "
                  + std::to_string(i.log_lines_dropped()) + " lines of gantryd's own log"},
    {"state", i.state_dir()},
    {"root", i.root_dir()},
  });
}

std::string version_lines(const v1::VersionReply& v) {
  return aligned({
    {"gantryd", v.gantry() + ", API " + v.api() + ", journal " + std::to_string(v.journal_format())
                  + ", keeper " + std::to_string(v.keeper_protocol())},
    {"runtime",
     v.runtime() + (v.runtime_version().empty() ? "" : " (" + v.runtime_version() + ")")},
    {"kernel", v.kernel() + ", cgroup " + v.cgroup() + ", " + v.io()},
  });
}

} // namespace gantry::cli
