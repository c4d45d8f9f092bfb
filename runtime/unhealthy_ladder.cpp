#include "runtime/unhealthy_ladder.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "messages/check.hpp"
#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/ids.hpp"

namespace gantry::runtime {

namespace {

constexpr std::array<std::string_view, 8> act_names{"none",   "restart", "stop",    "kill",
                                                    "signal", "freeze",  "capture", "hook"};
constexpr std::string_view hook_prefix = "hook=";
constexpr size_t max_hook_path = 1024;
constexpr std::string_view ladder_field = "on unhealthy";
constexpr std::string_view act_words
  = "use none, capture, signal=NAME, hook=/PROGRAM, freeze, restart, kill or stop";

result<ladder_step> parse_step(std::string_view text) {
  ladder_step out;
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    const auto number = text.substr(colon + 1);
    const auto* end = number.data() + number.size();
    const auto [stop, wrong] = std::from_chars(number.data(), end, out.attempts);
    if (wrong != std::errc{} || stop != end || out.attempts < 1
        || out.attempts > max_ladder_attempts)
      return bad(ladder_field, shown(text),
                 "behind the colon stands how often: 1 to " + std::to_string(max_ladder_attempts));
    text = text.substr(0, colon);
  }
  auto act = parse_unhealthy(text);
  if (!act)
    return act.why();
  out.act = *act;
  return out;
}

} // namespace

bool unhealthy_ladder::restarts() const noexcept {
  return std::any_of(steps.begin(), steps.end(), [](const auto& s) {
    return s.act.what == unhealthy_act::kind::restart;
  });
}

bool unhealthy_ladder::goes_on(uint32_t made) const noexcept {
  uint64_t all = 0;
  for (const auto& s : steps)
    all += s.attempts;
  return made < all;
}

ladder_attempt next_attempt(const unhealthy_ladder& ladder, uint32_t made) {
  GANTRY_CHECK(!ladder.steps.empty());
  ladder_attempt out;
  out.number = made + 1;
  out.steps = uint32_t(ladder.steps.size());
  size_t i = 0;
  while (i + 1 < ladder.steps.size() && made >= ladder.steps[i].attempts)
    made -= ladder.steps[i++].attempts;
  out.act = ladder.steps[i].act;
  out.step = uint32_t(i + 1);
  out.attempt = made + 1;
  out.of = ladder.steps[i].attempts;
  return out;
}

bool begins_anew(const unhealthy_ladder& ladder, int64_t healthy_ns, int64_t now_ns) noexcept {
  return healthy_ns != 0 && now_ns - healthy_ns >= ladder.reset_after_ns;
}

result<unhealthy_act> parse_unhealthy(std::string_view text) {
  constexpr std::string_view prefix = "signal=";
  unhealthy_act out;
  if (text.starts_with(prefix)) {
    auto signal = parse_signal(text.substr(prefix.size()));
    if (!signal)
      return signal.why();
    out.what = unhealthy_act::kind::signal;
    out.signal = *signal;
    return out;
  }
  if (text.starts_with(hook_prefix)) {
    out.what = unhealthy_act::kind::hook;
    out.program = text.substr(hook_prefix.size());
    if (!out.program.starts_with('/') || out.program.size() > max_hook_path
        || !is_clean_text(out.program))
      return bad(ladder_field, shown(text), "name a program of the host by its absolute path");
    return out;
  }
  if (text == "hook")
    return bad(ladder_field, shown(text), "name the program: hook=/usr/local/bin/page-me");
  if (text == "signal")
    return bad(ladder_field, shown(text), "name the signal: signal=USR1");
  const auto* at = std::find(act_names.begin(), act_names.end(), text);
  if (at == act_names.end())
    return bad(ladder_field, shown(text), std::string{act_words});
  out.what = unhealthy_act::kind(at - act_names.begin());
  return out;
}

std::string text_of(const unhealthy_act& act) {
  std::string out{act_names[size_t(act.what)]};
  if (act.what == unhealthy_act::kind::signal) {
    const auto name = signal_name(act.signal);
    out.append("=").append(name.starts_with("SIG") ? name.substr(3) : std::to_string(act.signal));
  }
  if (act.what == unhealthy_act::kind::hook)
    out.append("=").append(act.program);
  return out;
}

result<unhealthy_ladder> parse_ladder(std::string_view text) {
  unhealthy_ladder out;
  if (text.empty() || text == "none")
    return out;
  for (size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    auto step = parse_step(text.substr(at, end - at));
    if (!step)
      return step.why();
    if (step->act.what == unhealthy_act::kind::none)
      return bad(ladder_field, shown(text), "none stands alone");
    out.steps.push_back(*step);
    at = end + 1;
  }
  if (out.steps.size() > max_ladder_steps)
    return bad(ladder_field, shown(text),
               "use at most " + std::to_string(max_ladder_steps) + " steps");
  for (size_t i = 0; i + 1 < out.steps.size(); ++i)
    if (out.steps[i].act.what == unhealthy_act::kind::stop)
      return bad(ladder_field, shown(text), "stop is the end: put it last");
  return out;
}

std::string text_of(const unhealthy_ladder& ladder) {
  if (ladder.steps.empty())
    return "none";
  std::string out;
  for (const auto& s : ladder.steps) {
    out.append(out.empty() ? "" : ",").append(text_of(s.act));
    if (s.attempts != 1)
      out.append(":").append(std::to_string(s.attempts));
  }
  return out;
}

} // namespace gantry::runtime
