#include "runtime/policy_messages.hpp"

#include <algorithm>

#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/unhealthy_ladder.hpp"

namespace gantry::runtime {

namespace {

result<restart_policy> said_policy(const v1::RestartPolicy& said) {
  if (said.when().find(':') != std::string::npos)
    return bad("restart.when", shown(said.when()), "say the number in restart.retries");
  auto out = parse_restart(said.when().empty() ? "no" : said.when());
  if (!out)
    return out;
  out->retries = said.retries();
  if (said.has_delay_ns())
    out->delay_ns = said.delay_ns();
  if (said.has_factor())
    out->factor = said.factor();
  if (said.has_delay_max_ns())
    out->delay_max_ns = said.delay_max_ns();
  else
    out->delay_max_ns = std::max(out->delay_max_ns, out->delay_ns);
  if (said.has_jitter())
    out->jitter = said.jitter();
  if (said.has_reset_after_ns())
    out->reset_after_ns = said.reset_after_ns();
  if (said.has_attempts() && said.attempts() == 0)
    return bad("restart.attempts", "0", "use 1 or more");
  out->attempts = said.attempts();
  out->window_ns = said.window_ns();
  for (const auto& text : said.rules()) {
    auto rule = parse_restart_rule(text);
    if (!rule)
      return rule.why();
    out->rules.push_back(*rule);
  }
  return out;
}

} // namespace

result<restart_policy> restart_policy_of(const v1::ContainerSpec& spec) {
  auto out = said_policy(spec.restart());
  if (!out)
    return out;
  // Behind what was said about it.
  if (const auto ladder = parse_ladder(spec.health().on_unhealthy()); ladder && ladder->restarts())
    out->rules.push_back({.what = restart_rule::kind::unhealthy, .act = restart_act::restart});
  if (spec.oom_policy() == "restart" || spec.oom_policy() == "stop")
    out->rules.push_back({.what = restart_rule::kind::oom,
                          .act = spec.oom_policy() == "stop" ? restart_act::stay
                                                             : restart_act::restart});
  if (spec.pressure_policy() == "restart" || spec.pressure_policy() == "stop")
    out->rules.push_back({.what = restart_rule::kind::pressure,
                          .act = spec.pressure_policy() == "stop" ? restart_act::stay
                                                                  : restart_act::restart});
  return out;
}

journal::RestartState restart_state_of(const container_view& c) {
  journal::RestartState out;
  out.ParseFromString(c.restart_state);
  return out;
}

restart_history history_of(const journal::RestartState& state) {
  return {.in_a_row = state.in_a_row(), .total = state.total(),
          .recent = {state.recent_ns().begin(), state.recent_ns().end()}};
}

std::optional<run_end> last_end_of(const container_view& c) {
  const auto* p = c.init();
  const auto state = restart_state_of(c);
  run_end out;
  out.by_person = state.ended_by_person();
  out.unhealthy = state.unhealthy();
  out.overtime = state.overtime();
  out.pressure = state.pressure();
  if (p == nullptr || !p->exit || state.cut_off()) {
    out.start_failed = true;
    return state.by_policy() || state.cut_off() ? std::optional{out} : std::nullopt;
  }
  if (p->exit->has_exit_code())
    out.exit_code = p->exit->exit_code();
  out.signal = p->exit->signal();
  out.oom = p->exit->oom() || state.oom();
  out.by_person = out.by_person || !p->exit->checkpoint().empty();
  out.up_ns = p->started_at_ns == 0 ? 0 : p->exit->exited_at_ns() - p->started_at_ns;
  return out;
}

bool awaits_restart(const container_view& c, int64_t now_ns) {
  if (c.state == v1::RESTARTING)
    return true;
  v1::ContainerSpec spec;
  if (c.state != v1::STOPPED || !c.restarts || !spec.ParseFromString(c.spec))
    return false;
  const auto policy = restart_policy_of(spec);
  const auto end = last_end_of(c);
  if (!policy || !end)
    return false;
  const auto history = history_of(restart_state_of(c));
  return decide_restart(*policy, history, *end, now_ns, c.instance).what
         == restart_decision::verdict::restart;
}

} // namespace gantry::runtime
