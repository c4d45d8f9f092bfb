#include <map>

#include <nlohmann/json.hpp>

#include "apps/gantry/formats.hpp"
#include "apps/gantry/live.hpp"
#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/show.hpp"
#include "apps/gantry/table.hpp"
#include "apps/gantry/units.hpp"

// What containers use: stats, top, system df.

namespace gantry::cli {

namespace {

/// CPU time between two looks at a container, in percent of one CPU.
class cpu_meter {
public:
  std::optional<double> percent(const v1::Stats& x) {
    auto& last = last_[x.namespace_() + "/" + x.id()];
    const auto before = std::exchange(last, {x.read_at_ns(), x.cpu_usage_ns()});
    const int64_t wall = x.read_at_ns() - before.first;
    if (before.first == 0 || wall <= 0 || x.cpu_usage_ns() < before.second)
      return {};
    return 100.0 * double(x.cpu_usage_ns() - before.second) / double(wall);
  }

private:
  std::map<std::string, std::pair<int64_t, uint64_t>> last_;
};

std::string percent_text(std::optional<double> x) {
  char text[32];
  if (!x)
    return "-";
  std::snprintf(text, sizeof text, "%.1f%%", *x);
  return text;
}

using shares = std::vector<std::optional<double>>;

/// @param cpu A share for each, in a live table; none otherwise.
std::string stats_table(const v1::StatsReply& reply, const shares* cpu) {
  std::vector<std::string> head{"ID",   "CPU TIME", "THROTTLED", "MEMORY",  "LIMIT",
                                "PEAK", "PIDS",     "READ",      "WRITTEN", "OOM KILLS"};
  if (cpu)
    head.insert(head.begin() + 1, "CPU %");
  table t(std::move(head));
  for (int i = 0; i < reply.stats_size(); ++i) {
    const auto& x = reply.stats(i);
    const std::string limit = x.pids_limit() > 0 ? "/" + std::to_string(x.pids_limit()) : "";
    std::vector<std::string> row{x.id(),
                                 short_duration(x.cpu_usage_ns()),
                                 short_duration(x.throttled_ns()),
                                 size_text(x.memory_bytes()),
                                 x.memory_limit_bytes() > 0 ? size_text(x.memory_limit_bytes())
                                                            : "-",
                                 size_text(x.memory_peak_bytes()),
                                 std::to_string(x.pids()) + limit,
                                 size_text(x.io_read_bytes()),
                                 size_text(x.io_write_bytes()),
                                 std::to_string(x.oom_kills())};
    if (cpu)
      row.insert(row.begin() + 1, percent_text((*cpu)[size_t(i)]));
    t.add(std::move(row));
  }
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

/// One look at the containers that were named, or at all that run.
/// @param code Of the first one that failed.
v1::StatsReply look(session& s, int& code) {
  v1::StatsReply all;
  if (s.opt.ids.empty())
    s.opt.ids.emplace_back(); // An empty id: all that run.
  code = ask_each<v1::StatsReply>(
    s, "/gantry.v1.Containers/Stats",
    [&s](const std::string& id) {
      v1::StatsRequest r;
      *r.mutable_ref() = s.ref(id);
      r.set_raw(s.opt.raw);
      return r;
    },
    [&all](const std::string&, const v1::StatsReply& reply) { all.MergeFrom(reply); });
  return all;
}

result<std::string> stats_text(session& s, const v1::StatsReply& all, const shares* cpu) {
  if (!s.opt.format.empty()) {
    std::vector<nlohmann::json> rows;
    for (int i = 0; i < all.stats_size(); ++i)
      rows.push_back(row_of(all.stats(i), cpu ? (*cpu)[size_t(i)] : std::nullopt));
    auto format = row_format::parse(s.opt.format);
    return format ? format->rows(rows) : result<std::string>(std::move(format).why());
  }
  std::string out = s.opt.json ? "" : stats_table(all, cpu);
  for (const auto& x : all.stats()) {
    if (s.opt.json)
      out += to_json(x, s.opt.raw) + "\n";
    else if (s.opt.raw)
      out += raw_files(x);
  }
  return out;
}

std::string top_text(const session& s, const v1::TopReply& reply) {
  table t({"PID", "PPID", "STATE", "CPU", "RSS", "PROCESS", "COMMAND"});
  std::string out;
  for (const auto& p : reply.processes()) {
    if (s.opt.json)
      out += to_json(p) + "\n";
    t.add({std::to_string(p.pid()), std::to_string(p.ppid()), p.state(), short_duration(p.cpu_ns()),
           size_text(p.rss_bytes()), p.process().empty() ? "-" : p.process(),
           s.opt.full ? p.command() : shortened(p.command(), 60)});
  }
  return s.opt.json ? out : t.text();
}

std::string disk_table(const v1::DiskUseReply& x) {
  uint64_t logs = 0, bundles = 0, files = 0;
  for (const auto& c : x.containers()) {
    logs += c.log_bytes();
    bundles += c.bundle_bytes();
    files += c.log_files();
  }
  table sums({"WHAT", "COUNT", "SIZE"});
  sums.add({"journal", std::to_string(x.journal_files()), size_text(x.journal_bytes())});
  sums.add({"logs", std::to_string(files), size_text(logs)});
  sums.add({"bundles", std::to_string(x.containers_size()), size_text(bundles)});
  sums.add({"checkpoints", std::to_string(x.checkpoints()), size_text(x.checkpoint_bytes())});
  if (x.containers().empty())
    return sums.text();
  table t({"CONTAINER", "LOG FILES", "LOGS", "BUNDLE"});
  for (const auto& c : x.containers())
    t.add({(c.namespace_() == "default" ? "" : c.namespace_() + "/") + c.id(),
           std::to_string(c.log_files()), size_text(c.log_bytes()), size_text(c.bundle_bytes())});
  return sums.text() + "\n" + t.text();
}

} // namespace

int stats_command(session& s) {
  int code = 0;
  if (!is_live(s)) {
    const auto all = look(s, code);
    if (code != 0 && all.stats().empty())
      return code;
    auto text = stats_text(s, all, nullptr);
    if (!text)
      return failed(text.why());
    print(*text);
    return code;
  }
  cpu_meter meter;
  code = show_live(s, [&s, &meter, &code]() -> result<std::string> {
    const auto all = look(s, code);
    if (code != 0 && all.stats().empty())
      return std::string();
    shares cpu;
    for (const auto& x : all.stats())
      cpu.push_back(meter.percent(x));
    return stats_text(s, all, &cpu);
  });
  return code;
}

int top_command(session& s) {
  v1::TopRequest r;
  *r.mutable_ref() = s.ref(s.opt.ids.front());
  const auto frame = [&s, &r]() -> result<std::string> {
    auto reply = s.way.ask<v1::TopReply>("/gantry.v1.Containers/Top", r);
    return reply ? result<std::string>(top_text(s, *reply))
                 : result<std::string>(std::move(reply).why());
  };
  if (is_live(s))
    return show_live(s, frame);
  auto text = frame();
  if (!text)
    return failed(text.why());
  print(*text);
  return 0;
}

int system_command(session& s) {
  if (s.opt.argument != "df") {
    say_error({ec::invalid_argument, "system: there is no \"" + s.opt.argument + "\"",
               "gantry system df; see also gantry info, gantry events"});
    return 1;
  }
  auto reply = s.way.ask<v1::DiskUseReply>("/gantry.v1.Supervisor/DiskUse", v1::DiskUseRequest());
  if (!reply)
    return failed(reply.why());
  if (!s.opt.format.empty())
    return print_rows(s.opt.format, {nlohmann::json::parse(to_json(*reply))});
  print(s.opt.json ? to_json(*reply) + "\n" : disk_table(*reply));
  return 0;
}

} // namespace gantry::cli
