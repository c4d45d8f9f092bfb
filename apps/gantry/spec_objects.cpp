#include <array>
#include <charconv>
#include <string>

#include "apps/gantry/json.hpp"
#include "apps/gantry/objects.hpp"

namespace gantry::cli {

namespace {

std::string io_limit_json(const v1::IoLimit& l) {
  return json_object()
    .text("path", l.path())
    .number("read_bps", l.read_bps())
    .number("write_bps", l.write_bps())
    .number("read_iops", l.read_iops())
    .number("write_iops", l.write_iops())
    .done();
}

std::string resources_json(const v1::Resources& r) {
  return json_object()
    .number("memory_bytes", r.memory_bytes())
    .number("memory_swap_bytes", r.memory_swap_bytes())
    .number("memory_reservation_bytes", r.memory_reservation_bytes())
    .number("nano_cpus", r.nano_cpus())
    .number("cpu_shares", r.cpu_shares())
    .number("cpu_quota_us", r.cpu_quota_us())
    .number("cpu_period_us", r.cpu_period_us())
    .text("cpuset_cpus", r.cpuset_cpus())
    .text("cpuset_mems", r.cpuset_mems())
    .number("pids_limit", r.pids_limit())
    .number("io_weight", r.io_weight())
    .array("io_limits", r.io_limits(), io_limit_json)
    .map("unified", r.unified())
    .done();
}

std::string log_json(const v1::LogOptions& l) {
  return json_object()
    .number("max_file_bytes", l.max_file_bytes())
    .number("max_files", l.max_files())
    .number("max_line_bytes", l.max_line_bytes())
    .text("when_full", l.when_full())
    .text("format", l.format())
    .number("rate_bytes", l.rate_bytes())
    .number("burst_bytes", l.burst_bytes())
    .number("max_age_ns", l.max_age_ns())
    .flag("compress", l.compress())
    .text("forward", l.forward())
    .done();
}

std::string fifos_json(const v1::Fifos& f) {
  return json_object()
    .text("stdin", f.stdin_path())
    .text("stdout", f.stdout_path())
    .text("stderr", f.stderr_path())
    .done();
}

std::string mount_json(const v1::Mount& m) {
  return json_object()
    .text("type", m.type())
    .text("source", m.source())
    .text("target", m.target())
    .flag("read_only", m.read_only())
    .texts("options", m.options())
    .done();
}

std::string rlimit_json(const v1::Rlimit& l) {
  return json_object()
    .text("type", l.type())
    .number("soft", l.soft())
    .number("hard", l.hard())
    .done();
}

std::string device_json(const v1::Device& d) {
  return json_object()
    .text("host_path", d.host_path())
    .text("path", d.path())
    .text("access", d.access())
    .done();
}

std::string security_json(const v1::Security& s) {
  json_object o;
  if (s.has_no_new_privileges())
    o.flag("no_new_privileges", s.no_new_privileges());
  else
    o.null("no_new_privileges");
  return o.text("seccomp", s.seccomp())
    .text("seccomp_agent", s.seccomp_agent())
    .text("apparmor", s.apparmor())
    .text("selinux", s.selinux())
    .text("selinux_mount", s.selinux_mount())
    .flag("writable_cgroups", s.writable_cgroups())
    .flag("unmasked", s.unmasked())
    .done();
}

/// The shortest text that means this number.
std::string decimal(double x) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), x).ptr;
  return {text.data(), end};
}

/// As it was said: what is absent has its default.
std::string restart_json(const v1::RestartPolicy& r) {
  json_object o;
  o.text("when", r.when().empty() ? "no" : r.when()).number("retries", r.retries());
  if (r.has_delay_ns())
    o.number("delay_ns", r.delay_ns());
  if (r.has_factor())
    o.raw("factor", decimal(r.factor()));
  if (r.has_delay_max_ns())
    o.number("delay_max_ns", r.delay_max_ns());
  if (r.has_jitter())
    o.raw("jitter", decimal(r.jitter()));
  if (r.has_reset_after_ns())
    o.number("reset_after_ns", r.reset_after_ns());
  if (r.has_attempts())
    o.number("attempts", r.attempts()).number("window_ns", r.window_ns());
  return o.texts("rules", r.rules()).done();
}

std::string probe_json(const v1::Probe& p) {
  json_object o;
  o.text("role", p.role().empty() ? "check" : p.role())
    .text("kind", p.kind().empty() ? "exec" : p.kind())
    .texts("args", p.args())
    .flag("shell", p.shell())
    .text("address", p.address())
    .number("port", p.port())
    .text("path", p.path())
    .text("host", p.host())
    .texts("headers", p.headers())
    .number("status_first", p.status_first())
    .number("status_last", p.status_last())
    .text("service", p.service())
    .text("tls_ca", p.tls_ca())
    .number("younger_ns", p.younger_ns());
  if (p.has_interval_ns())
    o.number("interval_ns", p.interval_ns());
  if (p.has_timeout_ns())
    o.number("timeout_ns", p.timeout_ns());
  if (p.has_initial_delay_ns())
    o.number("initial_delay_ns", p.initial_delay_ns());
  if (p.has_start_period_ns())
    o.number("start_period_ns", p.start_period_ns());
  if (p.has_start_interval_ns())
    o.number("start_interval_ns", p.start_interval_ns());
  if (p.has_failures())
    o.number("failures", p.failures());
  if (p.has_successes())
    o.number("successes", p.successes());
  return o.done();
}

std::string kept_json(const v1::EvidenceKept& k) {
  return json_object()
    .number("number", k.number())
    .time("taken_at", k.taken_ns())
    .number("run", k.run())
    .text("reason", k.reason())
    .number("bytes", k.bytes())
    .flag("cut", k.cut())
    .done();
}

std::string health_json(const v1::HealthCheck& h) {
  return json_object()
    .text("profile", h.profile())
    .array("probes", h.probes(), probe_json)
    .text("on_unhealthy", h.on_unhealthy())
    .number("reset_after_ns", h.reset_after_ns())
    .done();
}

/// `db:healthy`, as `--after` takes them.
std::vector<std::string> after_texts(const v1::ContainerSpec& s) {
  std::vector<std::string> out;
  for (const auto& x : s.after())
    out.push_back(x.id() + ":" + (x.condition().empty() ? "started" : x.condition()));
  return out;
}

std::string notify_json(const v1::ContainerSpec& s) {
  if (!s.has_notify())
    return "null";
  json_object o;
  o.number("watchdog_ns", s.notify().watchdog_ns())
    .number("start_timeout_ns", s.notify().start_timeout_ns());
  if (s.notify().has_extend_max_ns())
    o.number("extend_max_ns", s.notify().extend_max_ns());
  else
    o.null("extend_max_ns");
  return o.text("heard", s.notify().heard()).done();
}

std::string notices_json(const v1::NotifyState& n) {
  return json_object()
    .flag("ready", n.ready())
    .flag("reloading", n.reloading())
    .flag("stopping", n.stopping())
    .text("status", n.status())
    .number("watchdog_ns", n.watchdog_ns())
    .time("due_at", n.due_ns())
    .number("datagrams", n.datagrams())
    .number("refused", n.refused())
    .number("ignored", n.ignored())
    .done();
}

std::string isolation_json(const v1::ContainerSpec& s) {
  json_object o;
  o.array("mounts", s.mounts(), mount_json)
    .texts("cap_add", s.cap_add())
    .texts("cap_drop", s.cap_drop())
    .flag("privileged", s.privileged())
    .array("rlimits", s.rlimits(), rlimit_json)
    .array("devices", s.devices(), device_json)
    .map("sysctls", s.sysctls())
    .raw("security", security_json(s.security()));
  if (s.has_oom_score_adj())
    o.number("oom_score_adj", s.oom_score_adj());
  else
    o.null("oom_score_adj");
  return o.text("cgroup_parent", s.cgroup_parent())
    .number("shm_bytes", s.shm_bytes())
    .array("groups", s.groups(), [](uint32_t g) { return std::to_string(g); })
    .texts("group_names", s.group_names())
    .done();
}

} // namespace

std::string to_json(const v1::ProbeResult& r) {
  json_object o;
  o.text("result", r.result());
  if (r.has_exit_code())
    o.number("exit_code", r.exit_code());
  else
    o.null("exit_code");
  return o.time("began_at", r.began_ns())
    .time("ended_at", r.ended_ns())
    .number("cpu_ns", r.cpu_ns())
    .text("output", r.output())
    .done();
}

std::string to_json(const v1::Health& h) {
  const auto probe = [](const v1::ProbeState& p) {
    return json_object()
      .text("role", p.role())
      .text("what", p.what())
      .number("failures", p.failures())
      .number("successes", p.successes())
      .flag("runs", p.runs())
      .time("next_at", p.next_ns())
      .array("results", p.results(), [](const v1::ProbeResult& r) { return to_json(r); })
      .done();
  };
  return json_object()
    .text("status", h.status())
    .flag("ready", h.ready())
    .text("profile", h.profile())
    .text("on_unhealthy", h.on_unhealthy())
    .number("actions", h.actions())
    .text("next_action", h.next_action())
    .array("probes", h.probes(), probe)
    .array("evidence", h.evidence(), kept_json)
    .raw("notify", h.has_notify() ? notices_json(h.notify()) : "null")
    .done();
}

std::string to_json(const v1::Evidence& e) {
  return json_object()
    .raw("kept", kept_json(e.kept()))
    .text("log", e.log())
    .array("processes", e.processes(), [](const v1::TopProcess& p) { return to_json(p); })
    .map("cgroup", e.cgroup())
    .map("psi", e.psi())
    .done();
}

std::string to_json(const v1::ContainerSpec& s) {
  return json_object()
    .text("bundle", s.bundle())
    .text("rootfs", s.rootfs())
    .texts("args", s.args())
    .texts("env", s.env())
    .text("workdir", s.workdir())
    .text("user", s.user())
    .text("hostname", s.hostname())
    .flag("read_only", s.read_only())
    .raw("resources", resources_json(s.resources()))
    .map("labels", s.labels())
    .map("annotations", s.annotations())
    .text("runtime", s.runtime())
    .flag("with_stdin", s.with_stdin())
    .flag("terminal", s.terminal())
    .raw("fifos", fifos_json(s.fifos()))
    .flag("remove_on_exit", s.remove_on_exit())
    .raw("log", log_json(s.log()))
    .text("stop_signal", s.stop_signal())
    .number("stop_timeout_ns", s.stop_timeout_ns())
    .number("max_run_ns", s.max_run_ns())
    .text("oom_policy", s.oom_policy())
    .texts("after", after_texts(s))
    .number("after_timeout_ns", s.after_timeout_ns())
    .texts("pressure", s.pressure())
    .text("pressure_policy", s.pressure_policy())
    .text("network", s.network())
    .raw("restart", restart_json(s.restart()))
    .raw("health", health_json(s.health()))
    .raw("notify", notify_json(s))
    .raw("isolation", isolation_json(s))
    .done();
}

} // namespace gantry::cli
