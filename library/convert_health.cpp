#include "library/convert.hpp"

// Policies of restarts and health, and what came of them, each way.

namespace gantry::library {

namespace {

/// Sets a field that the bus has only where somebody gave it.
template <class To, class T, class Set>
void put_given(To& to, const std::optional<T>& x, Set set) {
  if constexpr (std::is_same_v<T, nanoseconds>) {
    if (x)
      (to.*set)(x->count());
  } else if (x) {
    (to.*set)(*x);
  }
}

void put_question(const probe& x, v1::Probe& to) {
  using p = v1::Probe;
  to.set_role(x.role);
  to.set_kind(x.kind);
  to.mutable_args()->Assign(x.args.begin(), x.args.end());
  to.set_shell(x.shell);
  to.set_address(x.address);
  to.set_port(x.port);
  to.set_path(x.path);
  to.set_host(x.host);
  to.mutable_headers()->Assign(x.headers.begin(), x.headers.end());
  to.set_status_first(x.status_first);
  to.set_status_last(x.status_last);
  to.set_service(x.service);
  to.set_tls_ca(x.tls_ca);
  put_given(to, x.younger, &p::set_younger_ns);
  put_given(to, x.interval, &p::set_interval_ns);
  put_given(to, x.timeout, &p::set_timeout_ns);
  put_given(to, x.initial_delay, &p::set_initial_delay_ns);
  put_given(to, x.start_period, &p::set_start_period_ns);
  put_given(to, x.start_interval, &p::set_start_interval_ns);
  put_given(to, x.failures, &p::set_failures);
  put_given(to, x.successes, &p::set_successes);
}

probe_result result_of(const v1::ProbeResult& x) {
  probe_result out;
  out.result = x.result();
  if (x.has_exit_code())
    out.exit_code = x.exit_code();
  out.began = at(x.began_ns());
  out.ended = at(x.ended_ns());
  out.cpu_ns = uint64_t(x.cpu_ns());
  out.output = x.output();
  return out;
}

probe_state state_of(const v1::ProbeState& x) {
  probe_state out;
  out.role = x.role();
  out.what = x.what();
  out.failures = x.failures();
  out.successes = x.successes();
  out.runs = x.runs();
  out.next = at(x.next_ns());
  for (const auto& r : x.results())
    out.results.push_back(result_of(r));
  return out;
}

notify_report heard_of(const v1::NotifyState& x) {
  return {.ready = x.ready(),
          .reloading = x.reloading(),
          .stopping = x.stopping(),
          .status = x.status(),
          .watchdog = nanoseconds{x.watchdog_ns()},
          .due = at(x.due_ns()),
          .datagrams = x.datagrams(),
          .refused = x.refused(),
          .ignored = x.ignored()};
}

evidence_summary kept_of(const v1::EvidenceKept& x) {
  return {.number = x.number(),
          .taken = at(x.taken_ns()),
          .run = x.run(),
          .reason = x.reason(),
          .bytes = x.bytes(),
          .cut = x.cut()};
}

} // namespace

v1::RestartPolicy to_bus(const restart_policy& x) {
  using p = v1::RestartPolicy;
  p out;
  out.set_when(x.when);
  out.set_retries(x.retries);
  put_given(out, x.delay, &p::set_delay_ns);
  put_given(out, x.factor, &p::set_factor);
  put_given(out, x.delay_max, &p::set_delay_max_ns);
  put_given(out, x.jitter, &p::set_jitter);
  put_given(out, x.reset_after, &p::set_reset_after_ns);
  put_given(out, x.attempts, &p::set_attempts);
  put_given(out, x.window, &p::set_window_ns);
  out.mutable_rules()->Assign(x.rules.begin(), x.rules.end());
  return out;
}

v1::HealthCheck to_bus(const health_check& x) {
  using h = v1::HealthCheck;
  h out;
  out.set_profile(x.profile);
  for (const auto& one : x.probes)
    put_question(one, *out.add_probes());
  put_given(out, x.history, &h::set_history);
  put_given(out, x.output_bytes, &h::set_output_bytes);
  out.set_ignore_throttled(x.ignore_throttled);
  out.set_on_unhealthy(x.on_unhealthy);
  put_given(out, x.reset_after, &h::set_reset_after_ns);
  return out;
}

restart_report from_bus(const v1::Restart& x) {
  return {.attempt = x.attempt(),
          .of = x.of(),
          .total = x.total(),
          .next = at(x.next_ns()),
          .reason = x.reason()};
}

health_report from_bus(const v1::Health& x) {
  health_report out;
  out.status = x.status();
  out.ready = x.ready();
  out.profile = x.profile();
  for (const auto& p : x.probes())
    out.probes.push_back(state_of(p));
  out.on_unhealthy = x.on_unhealthy();
  out.actions = x.actions();
  out.next_action = x.next_action();
  for (const auto& e : x.evidence())
    out.evidence.push_back(kept_of(e));
  if (x.has_notify())
    out.notify = heard_of(x.notify());
  return out;
}

pressure_state from_bus(const v1::PressureState& x) {
  return {.threshold = x.threshold(),
          .unsupported = x.unsupported(),
          .crossed = x.crossed(),
          .last = at(x.crossed_ns()),
          .count = x.count()};
}

ran_probe from_bus(const v1::RunProbeReply& x) {
  return {.result = result_of(x.result()), .health = from_bus(x.health())};
}

evidence from_bus(const v1::Evidence& x) {
  evidence out;
  out.kept = kept_of(x.kept());
  out.log = x.log();
  for (const auto& p : x.processes())
    out.processes.push_back(from_bus(p));
  out.cgroup = map_of(x.cgroup());
  out.psi = map_of(x.psi());
  return out;
}

} // namespace gantry::library
