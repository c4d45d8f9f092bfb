#include "apps/gantry/objects.hpp"

#include <array>

#include <nlohmann/json.hpp>

#include "apps/gantry/json.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

/// The members that say how a process ended. They stand at the top level of an event.
void add_exit(json_object& o, const v1::Exit& x) {
  if (x.has_exit_code())
    o.number("exit_code", x.exit_code());
  else
    o.null("exit_code");
  o.number("signal", x.signal()).flag("core_dumped", x.core_dumped()).flag("oom", x.oom());
  if (x.oom_level().empty())
    o.null("oom_level");
  else
    o.text("oom_level", x.oom_level());
  o.number("stdout_bytes", x.stdout_bytes())
    .number("stderr_bytes", x.stderr_bytes())
    .number("stdout_dropped", x.stdout_dropped())
    .number("stderr_dropped", x.stderr_dropped())
    .flag("io_open", x.io_open())
    .number("cpu_ns", x.cpu_ns())
    .number("cpu_user_ns", x.cpu_user_ns())
    .number("cpu_system_ns", x.cpu_system_ns())
    .number("max_rss_bytes", x.max_rss_bytes())
    .flag("status_unknown", x.status_unknown())
    .time("exited_at", x.exited_at_ns());
  if (!x.checkpoint().empty())
    o.text("checkpoint", x.checkpoint());
  if (x.ended_by().empty())
    o.null("ended_by");
  else
    o.text("ended_by", x.ended_by());
  if (x.oom_victim().empty())
    o.null("oom_victim");
  else
    o.text("oom_victim", x.oom_victim());
}

std::string waiting_json(const v1::Waiting& w) {
  json_object o;
  o.array("unmet", w.unmet(), [](const v1::Unmet& u) {
    return json_object().text("condition", u.condition()).text("why", u.why()).done();
  });
  return o.time("since", w.since_ns()).time("until", w.until_ns()).done();
}

void add_container(json_object& o, const v1::Container& c) {
  o.text("namespace", c.namespace_())
    .text("id", c.id())
    .number("instance", c.instance())
    .number("run", c.run())
    .text("state", state_text(c.state()))
    .number("pid", c.pid())
    .texts("command", c.command())
    .map("labels", c.labels())
    .time("created_at", c.created_at_ns())
    .time("started_at", c.started_at_ns());
  if (c.has_exit())
    o.raw("exit", to_json(c.exit()));
  else
    o.null("exit");
  o.number("execs", c.execs()).text("runtime", c.runtime());
  o.number("log_dropped", c.log_dropped());
  if (c.health().empty())
    o.null("health");
  else
    o.text("health", c.health());
  o.flag("ready", c.ready()).text("said", c.said());
  if (c.has_restart())
    o.raw("restart", json_object()
                       .number("attempt", c.restart().attempt())
                       .number("of", c.restart().of())
                       .number("total", c.restart().total())
                       .time("next_at", c.restart().next_ns())
                       .text("reason", c.restart().reason())
                       .done());
  else
    o.null("restart");
  if (c.has_waiting())
    o.raw("waiting", waiting_json(c.waiting()));
  else
    o.null("waiting");
  if (c.stuck().empty())
    o.null("stuck");
  else
    o.text("stuck", c.stuck());
}

std::string process_json(const v1::Process& p) {
  json_object o;
  o.text("id", p.id()).number("pid", p.pid()).text("state", p.state());
  o.texts("args", p.spec().args())
    .texts("env", p.spec().env())
    .text("workdir", p.spec().workdir())
    .text("user", p.spec().user())
    .flag("stdin_open", p.stdin_open())
    .flag("terminal", p.terminal())
    .time("started_at", p.started_at_ns());
  if (p.has_terminal_size())
    o.raw("terminal_size", json_object()
                             .number("width", p.terminal_size().width())
                             .number("height", p.terminal_size().height())
                             .done());
  if (p.has_exit())
    o.raw("exit", to_json(p.exit()));
  else
    o.null("exit");
  o.raw("log", json_object()
                 .number("stdout_bytes", p.log().stdout_bytes())
                 .number("stderr_bytes", p.log().stderr_bytes())
                 .number("stdout_dropped", p.log().stdout_dropped())
                 .number("stderr_dropped", p.log().stderr_dropped())
                 .number("file", p.log().file())
                 .number("limited_ns", p.log().limited_ns())
                 .done());
  return o.number("serial", p.serial())
    .number("run", p.run())
    .flag("io_open", p.io_open())
    .text("cgroup", p.cgroup())
    .done();
}

std::string pressure_json(const v1::PressureState& x) {
  json_object o;
  o.text("threshold", x.threshold()).text("unsupported", x.unsupported());
  o.number("crossed", x.crossed()).number("count", x.count());
  if (x.crossed_ns() == 0)
    o.null("crossed_at");
  else
    o.text("crossed_at", time_text(x.crossed_ns()));
  return o.done();
}

std::string oom_json(const v1::OomState& x) {
  return json_object()
    .number("kills", x.kills())
    .text("level", x.level())
    .text("victim", x.victim())
    .text("at", time_text(x.at_ns()))
    .done();
}

} // namespace

std::string state_text(v1::State s) {
  constexpr std::array names{"unspecified", "creating", "created",  "starting", "running",
                             "pausing",     "paused",   "stopping", "stopped",  "restarting",
                             "deleting",    "dead",     "unknown",  "checkpointing",
                             "waiting"};
  const auto i = static_cast<size_t>(s);
  return i < names.size() ? names[i] : "state " + std::to_string(i);
}

std::string to_json(const v1::Event& e) {
  json_object o;
  o.number("seq", e.seq())
    .number("epoch", e.epoch())
    .text("time", time_text(e.time_ns()))
    .text("type", e.type())
    .text("namespace", e.namespace_())
    .text("container", e.container())
    .number("instance", e.instance())
    .number("run", e.run())
    .text("process", e.process())
    .number("pid", e.pid())
    .number("cause", e.cause());
  if (e.has_by())
    o.raw("by", json_object()
                  .number("uid", e.by().uid())
                  .number("gid", e.by().gid())
                  .number("pid", e.by().pid())
                  .done());
  else
    o.null("by");
  if (e.has_exit())
    add_exit(o, e.exit());
  if (!e.message().empty())
    o.text("message", e.message());
  return o.map("details", e.details()).map("labels", e.labels()).done();
}

std::string to_json(const v1::Exit& x) {
  json_object o;
  add_exit(o, x);
  return o.number("seq", x.seq()).done();
}

std::string to_json(const v1::Container& c) {
  json_object o;
  add_container(o, c);
  return o.done();
}

std::string to_json(const v1::ContainerDetail& d) {
  json_object o;
  add_container(o, d.summary());
  o.raw("spec", to_json(d.spec()))
    .array("processes", d.processes(), process_json)
    .array("pressure", d.pressure(), pressure_json)
    .raw("oom_state", d.has_oom() ? oom_json(d.oom()) : "null")
    .raw("health_detail", d.has_health() ? to_json(d.health()) : "null")
    .text("bundle", d.bundle())
    .text("cgroup", d.cgroup())
    .text("log_dir", d.log_dir())
    .text("rootfs", d.rootfs())
    .text("message", d.message())
    .map("last_errors", d.last_errors());
  // The file's own words, if they are JSON at all.
  if (d.config_json().empty())
    o.null("config");
  else if (nlohmann::json::accept(d.config_json()))
    o.raw("config", json_reformatted(d.config_json(), 0));
  else
    o.text("config", d.config_json());
  return o.done();
}

std::string to_json(const v1::Stats& s, bool raw) {
  json_object o;
  o.text("namespace", s.namespace_())
    .text("id", s.id())
    .time("read_at", s.read_at_ns())
    .number("cpu_usage_ns", s.cpu_usage_ns())
    .number("cpu_user_ns", s.cpu_user_ns())
    .number("cpu_system_ns", s.cpu_system_ns())
    .number("throttled_periods", s.throttled_periods())
    .number("throttled_ns", s.throttled_ns())
    .number("memory_bytes", s.memory_bytes())
    .number("memory_limit_bytes", s.memory_limit_bytes())
    .number("memory_peak_bytes", s.memory_peak_bytes())
    .number("memory_working_set_bytes", s.memory_working_set_bytes())
    .number("swap_bytes", s.swap_bytes())
    .number("pids", s.pids())
    .number("pids_limit", s.pids_limit())
    .number("io_read_bytes", s.io_read_bytes())
    .number("io_write_bytes", s.io_write_bytes())
    .number("oom_kills", s.oom_kills())
    .map("psi", s.psi());
  if (raw)
    o.map("raw", s.raw());
  return o.done();
}

std::string to_json(const v1::TopProcess& p) {
  return json_object()
    .number("pid", p.pid())
    .number("ppid", p.ppid())
    .text("state", p.state())
    .number("cpu_ns", p.cpu_ns())
    .number("rss_bytes", p.rss_bytes())
    .text("process", p.process())
    .text("command", p.command())
    .done();
}

std::string to_json(const v1::InfoReply& i) {
  return json_object()
    .number("pid", i.pid())
    .number("keeper_pid", i.keeper_pid())
    .text("keeper_state", i.keeper_state())
    .number("generation", i.generation())
    .number("epoch", i.epoch())
    .number("seq", i.seq())
    .time("started_at", i.started_at_ns())
    .number("turns", i.turns())
    .number("slow_turns", i.slow_turns())
    .number("longest_turn_ns", i.longest_turn_ns())
    .text("slow_part", i.slow_part())
    .number("slow_part_ns", i.slow_part_ns())
    .number("fds", i.fds())
    .number("fd_limit", i.fd_limit())
    .number("containers", i.containers())
    .number("running", i.running())
    .number("arena_blocks_used", i.arena_blocks_used())
    .number("arena_blocks", i.arena_blocks())
    .number("journal_pending_bytes", i.journal_pending_bytes())
    .number("journal_disk_bytes", i.journal_disk_bytes())
    .flag("journal_disk_full", i.journal_disk_full())
    .number("log_lines_dropped", i.log_lines_dropped())
    .number("stream_bytes_dropped", i.stream_bytes_dropped())
    .number("log_slots_used", i.log_slots_used())
    .number("log_slots", i.log_slots())
    .number("runtime_in_flight", i.runtime_in_flight())
    .number("runtime_queued", i.runtime_queued())
    .number("events_gaps", i.events_gaps())
    .number("rss_bytes", i.rss_bytes())
    .text("state_dir", i.state_dir())
    .text("root_dir", i.root_dir())
    .text("cgroup_driver", i.cgroup_driver())
    .text("cgroup_parent", i.cgroup_parent())
    .done();
}

std::string to_json(const v1::DiskUseReply& x) {
  return json_object()
    .number("journal_bytes", x.journal_bytes())
    .number("journal_files", x.journal_files())
    .number("checkpoint_bytes", x.checkpoint_bytes())
    .number("checkpoints", x.checkpoints())
    .array("containers", x.containers(),
           [](const v1::ContainerDisk& c) {
             return json_object()
               .text("namespace", c.namespace_())
               .text("id", c.id())
               .number("log_bytes", c.log_bytes())
               .number("log_files", c.log_files())
               .number("bundle_bytes", c.bundle_bytes())
               .done();
           })
    .done();
}

std::string to_json(const v1::VersionReply& v) {
  return json_object()
    .text("gantry", v.gantry())
    .text("api", v.api())
    .text("runtime", v.runtime())
    .text("runtime_version", v.runtime_version())
    .text("kernel", v.kernel())
    .text("cgroup", v.cgroup())
    .text("io", v.io())
    .number("journal_format", v.journal_format())
    .number("keeper_protocol", v.keeper_protocol())
    .done();
}

} // namespace gantry::cli
