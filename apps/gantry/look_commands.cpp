#include <nlohmann/json.hpp>

#include "apps/gantry/formats.hpp"
#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/show.hpp"
#include "apps/gantry/table.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

std::string list_table(const session& s, const v1::ListReply& reply) {
  std::vector<std::string> head{"ID", "STATE", "PID", "COMMAND", "CREATED"};
  if (s.opt.all_namespaces)
    head.insert(head.begin(), "NAMESPACE");
  table t(std::move(head));
  const int64_t now = now_ns();
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

} // namespace

int list_command(session& s) {
  v1::ListRequest r;
  r.set_namespace_(s.opt.all_namespaces ? "*" : s.opt.ns);
  r.set_all(s.opt.all);
  *r.mutable_filter() = s.opt.list_filter;
  auto reply = s.way.ask<v1::ListReply>("/gantry.v1.Containers/List", r);
  if (!reply)
    return failed(reply.why());
  std::string out;
  if (!s.opt.format.empty() && !s.opt.quiet) {
    std::vector<nlohmann::json> rows;
    for (const auto& c : reply->containers())
      rows.push_back(row_of(c, now_ns()));
    return print_rows(s.opt.format, rows);
  }
  if (s.opt.quiet || s.opt.json)
    for (const auto& c : reply->containers())
      out += (s.opt.quiet ? c.id() : to_json(c)) + "\n";
  else
    out = list_table(s, *reply);
  print(out);
  return 0;
}

int inspect_command(session& s) {
  std::vector<nlohmann::json> rows;
  const int code = ask_each<v1::ContainerDetail>(
    s, "/gantry.v1.Containers/Inspect",
    [&s](const std::string& id) {
      v1::InspectRequest r;
      *r.mutable_ref() = s.ref(id);
      return r;
    },
    [&s, &rows](const std::string&, const v1::ContainerDetail& d) {
      const std::string text = to_json(d);
      if (!s.opt.format.empty())
        rows.push_back(nlohmann::json::parse(text));
      else
        print((s.opt.json ? text : json_reformatted(text, 2)) + "\n");
    });
  const int shown = rows.empty() ? 0 : print_rows(s.opt.format, rows);
  return code != 0 ? code : shown;
}

int info_command(session& s) {
  auto reply = s.way.ask<v1::InfoReply>("/gantry.v1.Supervisor/Info", v1::InfoRequest());
  if (!reply)
    return failed(reply.why());
  if (!s.opt.format.empty())
    return print_rows(s.opt.format, {nlohmann::json::parse(to_json(*reply))});
  print(s.opt.json ? to_json(*reply) + "\n" : info_text(*reply, now_ns()));
  return 0;
}

int version_command(session& s) {
  auto reply = s.way.ask<v1::VersionReply>("/gantry.v1.Supervisor/Version", v1::VersionRequest());
  json_object o;
  o.text("client", version_text);
  if (reply)
    o.raw("server", to_json(*reply));
  else
    o.null("server");
  if (!s.opt.format.empty()) {
    const int code = print_rows(s.opt.format, {nlohmann::json::parse(o.done())});
    return reply ? code : failed(reply.why());
  }
  if (s.opt.json) {
    print(o.done() + "\n");
  } else {
    print("gantry   " + std::string(version_text) + "\n" + (reply ? version_lines(*reply) : ""));
  }
  return reply ? 0 : failed(reply.why());
}

} // namespace gantry::cli
