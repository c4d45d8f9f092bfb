#include "runtime/restart_policy.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/ids.hpp"

namespace gantry::runtime {

namespace {

using verdict = restart_decision::verdict;
using rule_kind = restart_rule::kind;

bool matches(const restart_rule& rule, const run_end& end) {
  switch (rule.what) {
    case rule_kind::exit_code:
      return end.exit_code && *end.exit_code >= rule.first && *end.exit_code <= rule.last;
    case rule_kind::signal:
      return end.signal != 0 && end.signal >= rule.first && end.signal <= rule.last;
    case rule_kind::oom: return end.oom;
    case rule_kind::unhealthy: return end.unhealthy;
    case rule_kind::overtime: return end.overtime;
    case rule_kind::pressure: return end.pressure;
  }
  return false;
}

/// Nothing that is known speaks for a success.
bool failed(const run_end& end) {
  return end.unhealthy || end.oom || end.overtime || end.pressure || end.start_failed
         || end.exit_code.value_or(1) != 0;
}

restart_act act_on(const restart_policy& policy, const run_end& end) {
  for (const auto& rule : policy.rules)
    if (matches(rule, end))
      return rule.act;
  switch (policy.when) {
    case restart_when::no: return restart_act::stay;
    case restart_when::on_failure: return failed(end) ? restart_act::restart : restart_act::stay;
    case restart_when::always:
    case restart_when::unless_stopped: return restart_act::restart;
  }
  return restart_act::stay;
}

/// splitmix64: from one number the next, all bits of which look like chance.
uint64_t mixed(uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

int64_t shortened(int64_t delay, double jitter, uint64_t seed, uint64_t total) noexcept {
  const double chance = double(mixed(seed ^ mixed(total)) >> 11) / double(1ull << 53);
  return delay - int64_t(double(delay) * jitter * chance);
}

/// Only what still counts. A time that has not come yet (the clock was set back) counts as now.
std::vector<int64_t> within(const restart_policy& policy, const restart_history& history,
                            int64_t now_ns) {
  std::vector<int64_t> out;
  for (const auto at : history.recent)
    if (policy.attempts != 0 && now_ns - at < policy.window_ns)
      out.push_back(std::min(at, now_ns));
  if (out.size() > max_restart_attempts)
    out.erase(out.begin(), out.end() - max_restart_attempts);
  return out;
}

restart_decision given_up(restart_decision out, const std::string& why) {
  out.what = verdict::dead;
  out.reason += why;
  return out;
}

} // namespace

bool restart_policy::restarts() const noexcept {
  return when != restart_when::no
         || std::any_of(rules.begin(), rules.end(),
                        [](const auto& r) { return r.act == restart_act::restart; });
}

int64_t restart_delay(const restart_policy& policy, uint32_t attempt) noexcept {
  const double wanted = double(policy.delay_ns) * std::pow(policy.factor, double(attempt) - 1);
  // Not a number and infinite too: the comparison fails.
  return wanted < double(policy.delay_max_ns) ? int64_t(wanted) : policy.delay_max_ns;
}

std::string words_of(const run_end& end) {
  if (end.start_failed)
    return "it could not be started";
  if (end.unhealthy)
    return "unhealthy";
  if (end.overtime)
    return "it ran as long as it may";
  if (end.pressure)
    return "under pressure";
  if (end.oom)
    return "out of memory";
  if (end.signal != 0)
    return signal_name(end.signal);
  return end.exit_code ? "exit code " + std::to_string(*end.exit_code) : "an unknown status";
}

restart_decision decide_restart(const restart_policy& policy, const restart_history& history,
                                const run_end& end, int64_t now_ns, uint64_t seed) {
  restart_decision out;
  out.next = history;
  out.reason = words_of(end);
  if (end.by_person) {
    out.reason = "somebody ended it";
    out.next.in_a_row = 0;
    out.next.recent.clear();
    return out;
  }
  if (end.up_ns >= policy.reset_after_ns && !end.start_failed)
    out.next.in_a_row = 0;
  out.next.recent = within(policy, history, now_ns);
  const auto act = act_on(policy, end);
  if (act == restart_act::stay)
    return out;
  if (act == restart_act::give_up)
    return given_up(std::move(out), ": a rule gives it up");
  const bool counted = policy.when == restart_when::on_failure && policy.retries != 0;
  out.of = counted ? policy.retries : policy.attempts;
  if (counted && out.next.in_a_row >= policy.retries)
    return given_up(std::move(out), ", after " + std::to_string(policy.retries)
                                      + " restarts in a row");
  if (policy.attempts != 0 && out.next.recent.size() >= policy.attempts)
    return given_up(std::move(out), ", after " + std::to_string(policy.attempts)
                                      + " restarts within "
                                      + std::to_string(policy.window_ns / 1'000'000'000) + " s");
  out.what = verdict::restart;
  out.attempt = ++out.next.in_a_row;
  const auto delay = restart_delay(policy, out.attempt);
  out.at_ns = now_ns + shortened(delay, policy.jitter, seed, out.next.total);
  ++out.next.total;
  if (policy.attempts != 0)
    out.next.recent.push_back(now_ns);
  return out;
}

} // namespace gantry::runtime
