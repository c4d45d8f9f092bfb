#include <charconv>
#include <optional>

#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/ids.hpp"
#include "runtime/restart_policy.hpp"

// The words of restart policies: from text, to text, and what of them makes no sense.

namespace gantry::runtime {

namespace {

using rule_kind = restart_rule::kind;

constexpr std::string_view words = "use no, on-failure, on-failure:N, always or unless-stopped";
constexpr std::string_view rule_words =
  "use exit=3:stay, exit=10-20:restart, signal=SEGV:dead, oom:restart, unhealthy:dead, "
  "overtime:stay or pressure:restart";
constexpr int max_code = 255;
constexpr int max_signal = 64;
constexpr int64_t max_delay_ns = int64_t{366} * 24 * 3600 * 1'000'000'000;

std::optional<int> number(std::string_view text, int most) {
  int value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), end, value);
  if (wrong != std::errc{} || stop != end || text.empty() || text.front() == '-' || value > most)
    return {};
  return value;
}

std::optional<restart_act> act_named(std::string_view text) {
  if (text == "restart")
    return restart_act::restart;
  if (text == "stay")
    return restart_act::stay;
  if (text == "dead")
    return restart_act::give_up;
  return {};
}

std::string_view name_of(restart_act act) {
  switch (act) {
    case restart_act::restart: return "restart";
    case restart_act::stay: return "stay";
    case restart_act::give_up: return "dead";
  }
  return {};
}

/// `3` or `10-20`.
bool take_codes(std::string_view text, restart_rule& out) {
  const auto dash = text.find('-');
  const auto first = number(text.substr(0, dash), max_code);
  const auto last =
    dash == std::string_view::npos ? first : number(text.substr(dash + 1), max_code);
  if (!first || !last || *last < *first)
    return false;
  out.what = rule_kind::exit_code;
  out.first = *first;
  out.last = *last;
  return true;
}

result<restart_rule> rule_for(std::string_view what, std::string_view whole) {
  restart_rule out;
  constexpr std::array<std::pair<std::string_view, rule_kind>, 4> plain{
    {{"oom", rule_kind::oom},
     {"unhealthy", rule_kind::unhealthy},
     {"overtime", rule_kind::overtime},
     {"pressure", rule_kind::pressure}}};
  for (const auto& [word, kind] : plain)
    if (what == word) {
      out.what = kind;
      return out;
    }
  if (what.starts_with("exit=")) {
    if (take_codes(what.substr(5), out))
      return out;
    return bad("restart rule", shown(whole), "an exit code is 0 to 255, or a range as 10-20");
  }
  if (what.starts_with("signal=")) {
    auto signal = parse_signal(what.substr(7));
    if (!signal)
      return bad("restart rule", shown(whole), "name a signal: signal=SEGV");
    out.what = rule_kind::signal;
    out.first = out.last = *signal;
    return out;
  }
  return bad("restart rule", shown(whole), rule_words);
}

result<void> positive(std::string_view field, int64_t ns) {
  if (ns <= 0)
    return bad(field, std::to_string(ns), "use a duration above 0: 100ms, 10s");
  if (ns > max_delay_ns)
    return bad(field, std::to_string(ns), "use at most a year");
  return {};
}

result<void> check_times(const restart_policy& p) {
  if (auto fine = positive("restart.delay_ns", p.delay_ns); !fine)
    return fine;
  if (auto fine = positive("restart.delay_max_ns", p.delay_max_ns); !fine)
    return fine;
  if (auto fine = positive("restart.reset_after_ns", p.reset_after_ns); !fine)
    return fine;
  if (p.delay_max_ns < p.delay_ns)
    return bad("restart.delay_max_ns", std::to_string(p.delay_max_ns),
               "it is below the first delay, " + std::to_string(p.delay_ns) + ": make it longer");
  if (!(p.factor >= 1 && p.factor <= 1000)) // Also false for what is no number.
    return bad("restart.factor", std::to_string(p.factor), "use 1 to 1000");
  if (!(p.jitter >= 0 && p.jitter <= 1))
    return bad("restart.jitter", std::to_string(p.jitter), "use a share, 0 to 1");
  return {};
}

result<void> check_window(const restart_policy& p) {
  if (p.attempts == 0 && p.window_ns == 0)
    return {};
  if (p.attempts == 0)
    return bad("restart.attempts", "0", "say how many restarts the window allows, 1 or more");
  if (p.attempts > max_restart_attempts)
    return bad("restart.attempts", std::to_string(p.attempts),
               "use at most " + std::to_string(max_restart_attempts));
  return positive("restart.window_ns", p.window_ns);
}

} // namespace

result<restart_policy> parse_restart(std::string_view text) {
  restart_policy out;
  const auto colon = text.find(':');
  const auto word = text.substr(0, colon);
  if (word == "no")
    out.when = restart_when::no;
  else if (word == "on-failure")
    out.when = restart_when::on_failure;
  else if (word == "always")
    out.when = restart_when::always;
  else if (word == "unless-stopped")
    out.when = restart_when::unless_stopped;
  else
    return bad("restart policy", shown(text), words);
  if (colon == std::string_view::npos)
    return out;
  if (out.when != restart_when::on_failure)
    return bad("restart policy", shown(text), "only on-failure takes a number: on-failure:5");
  const auto n = number(text.substr(colon + 1), 1'000'000'000);
  if (!n || *n < 1)
    return bad("restart policy", shown(text),
               "the number of restarts is 1 or more: on-failure:5; without it there is no limit");
  out.retries = uint32_t(*n);
  return out;
}

result<restart_rule> parse_restart_rule(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return bad("restart rule", shown(text), rule_words);
  auto out = rule_for(text.substr(0, colon), text);
  if (!out)
    return out;
  const auto act = act_named(text.substr(colon + 1));
  if (!act)
    return bad("restart rule", shown(text), "end it with :restart, :stay or :dead");
  out->act = *act;
  return out;
}

std::string text_of(const restart_policy& policy) {
  switch (policy.when) {
    case restart_when::no: return "no";
    case restart_when::on_failure:
      return policy.retries == 0 ? "on-failure" : "on-failure:" + std::to_string(policy.retries);
    case restart_when::always: return "always";
    case restart_when::unless_stopped: return "unless-stopped";
  }
  return {};
}

std::string text_of(const restart_rule& rule) {
  std::string out;
  switch (rule.what) {
    case rule_kind::exit_code:
      out.append("exit=").append(std::to_string(rule.first));
      if (rule.last != rule.first)
        out.append("-").append(std::to_string(rule.last));
      break;
    case rule_kind::signal: {
      const auto name = signal_name(rule.first);
      out.append("signal=");
      out.append(name.starts_with("SIG") ? name.substr(3) : std::to_string(rule.first));
      break;
    }
    case rule_kind::oom: out = "oom"; break;
    case rule_kind::unhealthy: out = "unhealthy"; break;
    case rule_kind::overtime: out = "overtime"; break;
    case rule_kind::pressure: out = "pressure"; break;
  }
  return out.append(":").append(name_of(rule.act));
}

result<void> check_restart(const restart_policy& policy, bool remove_on_exit) {
  if (policy.retries != 0 && policy.when != restart_when::on_failure)
    return bad("restart.retries", std::to_string(policy.retries),
               "only on-failure counts its retries; for the others set attempts and window_ns");
  if (auto fine = check_times(policy); !fine)
    return fine;
  if (auto fine = check_window(policy); !fine)
    return fine;
  if (policy.rules.size() > max_restart_rules)
    return bad("restart.rules", std::to_string(policy.rules.size()) + " rules",
               "use at most " + std::to_string(max_restart_rules));
  for (const auto& r : policy.rules) {
    const int least = r.what == rule_kind::signal ? 1 : 0;
    const int most = r.what == rule_kind::signal ? max_signal : max_code;
    if (r.first < least || r.last > most || r.last < r.first)
      return bad("restart.rules", shown(text_of(r)), rule_words);
  }
  if (remove_on_exit && policy.restarts())
    return bad("restart", shown(text_of(policy)),
               "it contradicts the removal at its end (--rm): leave one of them out");
  return {};
}

} // namespace gantry::runtime
