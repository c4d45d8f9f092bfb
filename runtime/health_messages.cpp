#include "runtime/health_messages.hpp"

#include <algorithm>

#include "messages/check.hpp"
#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

constexpr char probe_mark = '@';

/// What a question of this kind cannot have: said, so that nobody believes it was asked.
std::string_view foreign_field(const v1::Probe& said, probe_kind kind) {
  using enum probe_kind;
  const bool web = is_web(kind);
  const bool net = web || kind == tcp || is_rpc(kind);
  const bool path = web || kind == unix_socket || kind == file;
  if (kind != exec && (said.args_size() > 0 || said.shell()))
    return "args";
  if (!net && (!said.address().empty() || said.port() != 0))
    return said.port() != 0 ? "port" : "address";
  if (!path && !said.path().empty())
    return "path";
  if (!web && said.headers_size() > 0)
    return "headers";
  if (!web && !is_rpc(kind) && !said.host().empty())
    return "host";
  if (!web && (said.status_first() != 0 || said.status_last() != 0))
    return "status";
  if (!is_rpc(kind) && !said.service().empty())
    return "service";
  if (!over_tls(kind) && !said.tls_ca().empty())
    return "tls_ca";
  return kind != file && said.younger_ns() != 0 ? "younger_ns" : "";
}

result<probe_question> question_of(const v1::Probe& said, probe_kind kind) {
  if (const auto field = foreign_field(said, kind); !field.empty())
    return bad("probe", std::string{name_of(kind)} + " with " + std::string{field},
               "this kind of probe has no " + std::string{field} + ": leave it out");
  probe_question q;
  q.kind = kind;
  q.args = {said.args().begin(), said.args().end()};
  q.shell = said.shell();
  if (!said.address().empty())
    q.address = said.address();
  q.port = said.port();
  q.path = is_web(kind) && said.path().empty() ? "/" : said.path();
  q.host = said.host();
  for (const auto& line : said.headers()) {
    const auto colon = line.find(':');
    if (colon == std::string::npos)
      return bad("probe header", shown(line), "write it as NAME: VALUE");
    const auto value = line.find_first_not_of(" \t", colon + 1);
    q.headers.emplace_back(line.substr(0, colon),
                           value == std::string::npos ? std::string{} : line.substr(value));
  }
  if (said.status_first() != 0 || said.status_last() != 0) {
    q.status_first = int(std::min(said.status_first(), 1000u));
    q.status_last = said.status_last() == 0 ? q.status_first
                                            : int(std::min(said.status_last(), 1000u));
  }
  q.service = said.service();
  q.younger_ns = said.younger_ns();
  q.tls_ca = said.tls_ca();
  return q;
}

result<probe> probe_of(const v1::Probe& said, health_profile profile) {
  auto role = parse_role(said.role().empty() ? "check" : said.role());
  if (!role)
    return role.why();
  auto kind = parse_kind(said.kind().empty() ? "exec" : said.kind());
  if (!kind)
    return kind.why();
  auto question = question_of(said, *kind);
  if (!question)
    return question.why();
  auto out = default_probe(profile, *role);
  out.question = std::move(*question);
  if (said.has_interval_ns())
    out.interval_ns = said.interval_ns();
  if (said.has_timeout_ns())
    out.timeout_ns = said.timeout_ns();
  if (said.has_initial_delay_ns())
    out.initial_delay_ns = said.initial_delay_ns();
  if (said.has_start_period_ns())
    out.start_period_ns = said.start_period_ns();
  if (said.has_start_interval_ns())
    out.start_interval_ns = said.start_interval_ns();
  if (said.has_failures())
    out.failures = said.failures();
  if (said.has_successes())
    out.successes = said.successes();
  return out;
}

health_status status_named(std::string_view text) {
  for (auto x : {health_status::starting, health_status::healthy, health_status::unhealthy})
    if (name_of(x) == text)
      return x;
  return health_status::none;
}

v1::ProbeResult message_of(const probe_result& r) {
  v1::ProbeResult out;
  out.set_result(std::string{name_of(r.what)});
  if (r.exit_code >= 0)
    out.set_exit_code(r.exit_code);
  out.set_began_ns(r.began_ns);
  out.set_ended_ns(r.ended_ns);
  out.set_cpu_ns(r.cpu_ns);
  out.set_output(r.output);
  return out;
}

probe_result result_of(const v1::ProbeResult& m) {
  using label = probe_result::label;
  probe_result out;
  for (auto x : {label::passed, label::timeout, label::slow_start, label::throttled,
                 label::starting})
    if (name_of(x) == m.result())
      out.what = x;
  out.exit_code = m.has_exit_code() ? m.exit_code() : -1;
  out.began_ns = m.began_ns();
  out.ended_ns = m.ended_ns();
  out.cpu_ns = m.cpu_ns();
  out.output = m.output();
  return out;
}

void take_kept(const journal::ProbeKept& kept, probe_state& to) {
  to.failures = kept.now().failures();
  to.successes = kept.now().successes();
  to.passed = kept.now().passed();
  to.failed = kept.now().failed();
  to.next_ns = kept.now().next_ns();
  for (const auto& r : kept.results())
    to.results.push_back(result_of(r));
}

} // namespace

result<health_policy> health_policy_of(const v1::ContainerSpec& spec) {
  const auto& said = spec.health();
  health_policy out;
  if (!said.profile().empty()) {
    auto profile = parse_profile(said.profile());
    if (!profile)
      return profile.why();
    out.profile = *profile;
  }
  if (!said.on_unhealthy().empty()) {
    auto ladder = parse_ladder(said.on_unhealthy());
    if (!ladder)
      return ladder.why();
    out.on_unhealthy = std::move(*ladder);
  }
  if (said.has_reset_after_ns())
    out.on_unhealthy.reset_after_ns = said.reset_after_ns();
  if (said.has_history())
    out.history = said.history();
  if (said.has_output_bytes())
    out.output_bytes = said.output_bytes();
  out.ignore_throttled = said.ignore_throttled();
  for (const auto& p : said.probes()) {
    auto one = probe_of(p, out.profile);
    if (!one)
      return one.why();
    out.probes.push_back(std::move(*one));
  }
  if (spec.has_notify()) {
    probe own;
    own.role = probe_role::notify;
    own.question.kind = probe_kind::notify;
    own.failures = 1;
    out.probes.push_back(std::move(own));
  }
  if (auto fine = check_health(out); !fine)
    return fine.why();
  return out;
}

std::string probe_process(probe_role role) {
  std::string out(1, probe_mark);
  return out.append(name_of(role));
}

bool is_probe_process(std::string_view process) noexcept {
  return process.starts_with(probe_mark);
}

health_state health_state_of(const container_view& c, const health_policy& policy) {
  journal::HealthState kept;
  kept.ParseFromString(c.health);
  auto out = begin_health(policy, kept.started_ns());
  out.status = status_named(kept.status());
  out.ready = kept.ready();
  out.stopping = kept.notify().stopping();
  out.actions = kept.actions();
  out.healthy_ns = kept.healthy_ns();
  out.acts = kept.action_due() != 0 && kept.acting().empty();
  for (size_t i = 0; i < policy.probes.size(); ++i) {
    for (const auto& k : kept.probes())
      if (k.role() == name_of(policy.probes[i].role))
        take_kept(k, out.probes[i]);
    const auto* p = c.process(probe_process(policy.probes[i].role));
    out.probes[i].runs = p != nullptr; // Its result is on the way.
  }
  return out;
}

journal::ProbeEnded probe_ended(const health_policy& policy, const health_state& now, size_t which,
                                health_status from, bool was_ready) {
  const auto& s = now.probes[which];
  journal::ProbeEnded out;
  out.set_role(std::string{name_of(policy.probes[which].role)});
  if (!s.results.empty())
    *out.mutable_result() = message_of(s.results.back());
  out.mutable_now()->set_failures(s.failures);
  out.mutable_now()->set_successes(s.successes);
  out.mutable_now()->set_passed(s.passed);
  out.mutable_now()->set_failed(s.failed);
  out.mutable_now()->set_next_ns(s.next_ns);
  out.set_keep(policy.history);
  out.set_from(std::string{name_of(from)});
  out.set_to(std::string{name_of(now.status)});
  out.set_was_ready(was_ready);
  out.set_ready(now.ready);
  out.set_acts(now.acts);
  out.set_actions(now.actions);
  out.set_healthy_ns(now.healthy_ns);
  return out;
}

v1::Health health_message(const health_policy& policy, const health_state& state) {
  v1::Health out;
  out.set_status(std::string{name_of(state.status)});
  out.set_ready(state.ready);
  out.set_profile(std::string{name_of(policy.profile)});
  out.set_on_unhealthy(text_of(policy.on_unhealthy));
  out.set_actions(state.actions);
  if (!policy.on_unhealthy.steps.empty())
    out.set_next_action(text_of(next_attempt(policy.on_unhealthy, state.actions).act));
  for (size_t i = 0; i < state.probes.size(); ++i) {
    const auto& s = state.probes[i];
    auto* p = out.add_probes();
    p->set_role(std::string{name_of(policy.probes[i].role)});
    p->set_what(text_of(policy.probes[i].question));
    if (const auto& q = policy.probes[i].question; over_tls(q.kind))
      p->mutable_what()->append(q.tls_ca.empty() ? ", its certificate is not verified"
                                                 : ", its certificate is verified");
    p->set_failures(s.failures);
    p->set_successes(s.successes);
    p->set_runs(s.runs);
    p->set_next_ns(s.runs ? 0 : s.next_ns);
    for (const auto& r : s.results)
      *p->add_results() = message_of(r);
  }
  return out;
}

} // namespace gantry::runtime
