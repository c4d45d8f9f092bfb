#include <algorithm>
#include <map>

#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/units.hpp"

// `gantry health ID`, `gantry health run ID [ROLE]` and `gantry health evidence ID [NUMBER]`.

namespace gantry::cli {

namespace {

std::string result_line(const v1::ProbeResult& r) {
  std::string out = "  " + time_text(r.began_ns()) + "  " + r.result();
  if (r.has_exit_code())
    out += "  exit_code=" + std::to_string(r.exit_code());
  out += "  took=" + short_duration(uint64_t(std::max<int64_t>(0, r.ended_ns() - r.began_ns())))
         + "  cpu=" + short_duration(uint64_t(r.cpu_ns()));
  auto text = r.output();
  while (text.ends_with('\n'))
    text.pop_back();
  return printable(text.empty() ? out : out + "  " + text) + "\n";
}

std::string notices_text(const v1::NotifyState& n) {
  std::string out = "says itself: ";
  out += n.stopping()    ? "stopping"
         : n.reloading() ? "reloading"
         : n.ready()     ? "ready"
                         : "nothing yet";
  if (!n.status().empty())
    out += ", \"" + printable(n.status()) + "\"";
  if (n.watchdog_ns() > 0)
    out += ", watchdog " + short_duration(uint64_t(n.watchdog_ns()));
  if (n.due_ns() > now_ns())
    out += ", must speak in " + short_duration(uint64_t(n.due_ns() - now_ns()));
  return out + " (" + std::to_string(n.datagrams()) + " datagrams, " + std::to_string(n.refused())
         + " refused, " + std::to_string(n.ignored()) + " lines ignored)\n";
}

std::string health_text(const v1::Health& h) {
  std::string out = h.status() + (h.ready() ? ", ready" : ", not ready") + "  (profile "
                    + h.profile() + ", when unhealthy: " + h.on_unhealthy() + ")\n";
  if (h.has_notify())
    out += notices_text(h.notify());
  for (const auto& p : h.probes()) {
    out += p.role() + " (" + printable(p.what()) + "): " + std::to_string(p.failures())
           + " failures in a row";
    if (p.runs())
      out += ", runs now";
    else if (p.next_ns() > now_ns())
      out += ", next in " + short_duration(uint64_t(p.next_ns() - now_ns()));
    out += "\n";
    for (const auto& r : p.results())
      out += result_line(r);
  }
  if (h.actions() > 0)
    out += "actions: " + std::to_string(h.actions()) + ", next: " + h.next_action() + "\n";
  for (const auto& e : h.evidence())
    out += "evidence " + std::to_string(e.number()) + ": " + time_text(e.taken_ns()) + ", run "
           + std::to_string(e.run()) + ", " + printable(e.reason()) + ", "
           + size_text(e.bytes()) + "\n";
  return out;
}

std::string evidence_text(const v1::Evidence& e) {
  const auto& k = e.kept();
  std::string out = "evidence " + std::to_string(k.number()) + ", " + time_text(k.taken_ns())
                    + ", run " + std::to_string(k.run()) + ", " + k.reason()
                    + (k.cut() ? ", some of it left out" : "") + "\n\nlog:\n";
  std::string_view log = e.log();
  while (!log.empty()) {
    const auto end = std::min(log.find('\n'), log.size());
    out.append("  ").append(printable(std::string{log.substr(0, end)})).append("\n");
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  out += "\nprocesses:\n";
  for (const auto& p : e.processes())
    out += "  " + std::to_string(p.pid()) + "  " + p.state() + "  cpu="
           + short_duration(p.cpu_ns()) + "  rss=" + size_text(p.rss_bytes()) + "  "
           + printable(p.command()) + "\n";
  const auto files = [&out](const char* title, const auto& map) {
    out.append("\n").append(title).append(":\n");
    for (const auto& [name, text] : std::map<std::string, std::string>(map.begin(), map.end())) {
      auto flat = text;
      while (flat.ends_with('\n'))
        flat.pop_back();
      for (size_t at = 0; (at = flat.find('\n', at)) != std::string::npos; at += 5)
        flat.replace(at, 1, "\n    ");
      out.append("  ").append(name).append(flat.find('\n') == std::string::npos ? ": " : ":\n    ");
      out.append(flat).append("\n");
    }
  };
  files("cgroup", e.cgroup());
  files("pressure", e.psi());
  return out;
}

int show_evidence(session& s, const std::string& id, const std::string& number) {
  v1::ReadEvidenceRequest r;
  *r.mutable_ref() = s.ref(id);
  if (!number.empty()) {
    auto n = parse_number(number, 1, INT64_MAX);
    if (!n)
      return failed(n.why());
    r.set_number(uint64_t(*n));
  }
  auto reply = s.way.ask<v1::Evidence>("/gantry.v1.Containers/ReadEvidence", r);
  if (!reply)
    return failed(reply.why());
  print(s.opt.json ? s.about(id).raw("evidence", to_json(*reply)).done() + "\n"
                   : evidence_text(*reply));
  return 0;
}

int show_health(session& s, const std::string& id) {
  v1::InspectRequest r;
  *r.mutable_ref() = s.ref(id);
  auto reply = s.way.ask<v1::ContainerDetail>("/gantry.v1.Containers/Inspect", r);
  if (!reply)
    return failed(reply.why());
  if (!reply->has_health())
    return failed({ec::not_found, "container \"" + printable(id) + "\" has no health check",
                   "one is given when it is made: gantry run --health-cmd 'CMD', or --notify"});
  print(s.opt.json ? s.about(id).raw("health", to_json(reply->health())).done() + "\n"
                   : health_text(reply->health()));
  return 0;
}

int run_probe(session& s, const std::string& id, const std::string& role) {
  v1::RunProbeRequest r;
  *r.mutable_ref() = s.ref(id);
  r.set_role(role);
  auto reply = s.way.ask<v1::RunProbeReply>("/gantry.v1.Containers/RunProbe", r);
  if (!reply)
    return failed(reply.why());
  print(s.opt.json ? s.about(id)
                         .raw("result", to_json(reply->result()))
                         .raw("health", to_json(reply->health()))
                         .done()
                       + "\n"
                   : reply->health().status() + "\n" + result_line(reply->result()));
  return reply->result().result() == "passed" ? 0 : 1;
}

} // namespace

int health_command(session& s) {
  const auto& words = s.opt.ids;
  if (words.front() == "run" && (words.size() == 2 || words.size() == 3))
    return run_probe(s, words[1], words.size() == 3 ? words[2] : std::string{});
  if (words.front() == "evidence" && (words.size() == 2 || words.size() == 3))
    return show_evidence(s, words[1], words.size() == 3 ? words[2] : std::string{});
  if (words.size() == 1 && words.front() != "run" && words.front() != "evidence")
    return show_health(s, words.front());
  return failed({ec::invalid_argument, "this is no use of gantry health",
                 "health ID, health run ID [ROLE], health evidence ID [NUMBER]"});
}

} // namespace gantry::cli
