#include <ctime>

#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/show.hpp"
#include "apps/gantry/table.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

int64_t wall_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::string list_table(const session& s, const v1::ListReply& reply) {
  std::vector<std::string> head{"ID", "STATE", "PID", "COMMAND", "CREATED"};
  if (s.opt.all_namespaces)
    head.insert(head.begin(), "NAMESPACE");
  table t(std::move(head));
  const int64_t now = wall_ns();
  for (const auto& c : reply.containers()) {
    const std::string command = command_text(c.command());
    std::vector<std::string> row{
      c.id(), container_state_text(c, now), c.pid() > 0 ? std::to_string(c.pid()) : "-",
      s.opt.full ? command : shortened(command, 30), age_text(now - c.created_at_ns()) + " ago"};
    if (s.opt.all_namespaces)
      row.insert(row.begin(), c.namespace_());
    t.add(std::move(row));
  }
  return t.text();
}

std::string stats_table(const v1::StatsReply& reply) {
  table t({"ID", "CPU TIME", "THROTTLED", "MEMORY", "LIMIT", "PEAK", "PIDS", "READ", "WRITTEN",
           "OOM KILLS"});
  for (const auto& x : reply.stats())
    t.add(
      {x.id(), short_duration(x.cpu_usage_ns()), short_duration(x.throttled_ns()),
       size_text(x.memory_bytes()),
       x.memory_limit_bytes() > 0 ? size_text(x.memory_limit_bytes()) : "-",
       size_text(x.memory_peak_bytes()),
       std::to_string(x.pids()) + (x.pids_limit() > 0 ? "/" + std::to_string(x.pids_limit()) : ""),
       size_text(x.io_read_bytes()), size_text(x.io_write_bytes()), std::to_string(x.oom_kills())});
  return t.text();
}

/// The cgroup's files, each under its name; a file of several lines is moved in.
std::string raw_files(const v1::Stats& x) {
  const std::map<std::string, std::string> sorted(x.raw().begin(), x.raw().end());
  std::string out = "\n" + printable(x.id()) + "\n";
  for (const auto& [name, content] : sorted) {
    out += "  " + printable(name) + "\n";
    for (size_t from = 0; from < content.size();) {
      const size_t end = std::min(content.find('\n', from), content.size());
      out += "    " + printable(content.substr(from, end - from)) + "\n";
      from = end + 1;
    }
  }
  return out;
}

} // namespace

int list_command(session& s) {
  v1::ListRequest r;
  r.set_namespace_(s.opt.all_namespaces ? "*" : s.opt.ns);
  r.set_all(s.opt.all);
  auto reply = s.way.ask<v1::ListReply>("/gantry.v1.Containers/List", r);
  if (!reply)
    return failed(reply.why());
  std::string out;
  if (s.opt.quiet || s.opt.json)
    for (const auto& c : reply->containers())
      out += (s.opt.quiet ? c.id() : to_json(c)) + "\n";
  else
    out = list_table(s, *reply);
  print(out);
  return 0;
}

int inspect_command(session& s) {
  return ask_each<v1::ContainerDetail>(
    s, "/gantry.v1.Containers/Inspect",
    [&s](const std::string& id) {
      v1::InspectRequest r;
      *r.mutable_ref() = s.ref(id);
      return r;
    },
    [&s](const std::string&, const v1::ContainerDetail& d) {
      const std::string text = to_json(d);
      print((s.opt.json ? text : json_reformatted(text, 2)) + "\n");
    });
}

int top_command(session& s) {
  return ask_each<v1::TopReply>(
    s, "/gantry.v1.Containers/Top",
    [&s](const std::string& id) {
      v1::TopRequest r;
      *r.mutable_ref() = s.ref(id);
      return r;
    },
    [&s](const std::string&, const v1::TopReply& reply) {
      table t({"PID", "PPID", "STATE", "CPU", "RSS", "PROCESS", "COMMAND"});
      std::string out;
      for (const auto& p : reply.processes()) {
        if (s.opt.json)
          out += to_json(p) + "\n";
        t.add({std::to_string(p.pid()), std::to_string(p.ppid()), p.state(),
               short_duration(p.cpu_ns()), size_text(p.rss_bytes()),
               p.process().empty() ? "-" : p.process(),
               s.opt.full ? p.command() : shortened(p.command(), 60)});
      }
      print(s.opt.json ? out : t.text());
    });
}

int stats_command(session& s) {
  const auto request = [&s](const std::string& id) {
    v1::StatsRequest r;
    *r.mutable_ref() = s.ref(id);
    r.set_raw(s.opt.raw);
    return r;
  };
  v1::StatsReply all;
  if (s.opt.ids.empty())
    s.opt.ids.emplace_back(); // An empty id: all that run.
  const int code = ask_each<v1::StatsReply>(
    s, "/gantry.v1.Containers/Stats", request,
    [&all](const std::string&, const v1::StatsReply& reply) { all.MergeFrom(reply); });
  if (code != 0 && all.stats().empty())
    return code;
  std::string out = s.opt.json ? "" : stats_table(all);
  for (const auto& x : all.stats()) {
    if (s.opt.json)
      out += to_json(x, s.opt.raw) + "\n";
    else if (s.opt.raw)
      out += raw_files(x);
  }
  print(out);
  return code;
}

int info_command(session& s) {
  auto reply = s.way.ask<v1::InfoReply>("/gantry.v1.Supervisor/Info", v1::InfoRequest());
  if (!reply)
    return failed(reply.why());
  print(s.opt.json ? to_json(*reply) + "\n" : info_text(*reply, wall_ns()));
  return 0;
}

int version_command(session& s) {
  auto reply = s.way.ask<v1::VersionReply>("/gantry.v1.Supervisor/Version", v1::VersionRequest());
  if (s.opt.json) {
    json_object o;
    o.text("client", version_text);
    if (reply)
      o.raw("server", to_json(*reply));
    else
      o.null("server");
    print(o.done() + "\n");
  } else {
    print("gantry   " + std::string(version_text) + "\n" + (reply ? version_lines(*reply) : ""));
  }
  return reply ? 0 : failed(reply.why());
}

} // namespace gantry::cli
