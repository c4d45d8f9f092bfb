#include <charconv>

#include "apps/gantry/reader.hpp"

// The options of a restart policy, and of what a start waits for. What their words mean is for
// gantryd to say; here they are only taken apart.

namespace gantry::cli {

namespace {

/// A decimal number such as 1.5.
result<double> parse_factor(std::string_view text) {
  double value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), end, value);
  if (wrong != std::errc{} || stop != end || text.empty())
    return error{ec::invalid_argument, "\"" + printable(text) + "\" is no number",
                 "use a decimal number: 2, 1.5, 0.1"};
  return value;
}

/// `on-failure:5`: the word and its number.
void take_word(reader& in, v1::RestartPolicy& to) {
  const std::string text = in.line.text("--restart");
  const auto colon = text.find(':');
  to.set_when(text.substr(0, colon));
  if (text.empty())
    in.fail("--restart", {ec::invalid_argument, "is empty",
                          "use no, on-failure[:N], always or unless-stopped"});
  if (colon == std::string::npos)
    return;
  const auto count = [](std::string_view t) { return parse_number(t, 1, 1'000'000'000); };
  in.take("--restart", text.substr(colon + 1), count,
          [&to](int64_t n) { to.set_retries(static_cast<uint32_t>(n)); });
}

} // namespace

void take_after(reader& in, v1::ContainerSpec& to) {
  for (const auto& text : in.line.list("--after")) {
    const auto colon = text.find(':');
    if (colon == 0 || colon + 1 == text.size() || text.empty())
      in.fail("--after", {ec::invalid_argument, "\"" + printable(text) + "\" is not complete",
                          "use ID, ID:started, ID:ready, ID:healthy or ID:exited_ok"});
    auto* after = to.add_after();
    after->set_id(text.substr(0, colon));
    if (colon != std::string::npos)
      after->set_condition(text.substr(colon + 1));
  }
  in.take("--after-timeout", parse_pause, [&to](int64_t ns) { to.set_after_timeout_ns(ns); });
}

void take_restart(reader& in, v1::ContainerSpec& to) {
  v1::RestartPolicy p;
  if (in.line.given("--restart"))
    take_word(in, p);
  in.take("--restart-delay", parse_pause, [&p](int64_t ns) { p.set_delay_ns(ns); });
  in.take("--restart-factor", parse_factor, [&p](double x) { p.set_factor(x); });
  in.take("--restart-delay-max", parse_pause, [&p](int64_t ns) { p.set_delay_max_ns(ns); });
  in.take("--restart-jitter", parse_factor, [&p](double x) { p.set_jitter(x); });
  in.take("--restart-reset", parse_pause, [&p](int64_t ns) { p.set_reset_after_ns(ns); });
  const auto attempts = [](std::string_view t) { return parse_number(t, 1, 1000); };
  in.take("--restart-attempts", attempts,
          [&p](int64_t n) { p.set_attempts(static_cast<uint32_t>(n)); });
  in.take("--restart-window", parse_pause, [&p](int64_t ns) { p.set_window_ns(ns); });
  for (const auto& text : in.line.list("--restart-rule"))
    p.add_rules(text);
  if (p.ByteSizeLong() == 0 || in.fault())
    return;
  if (p.when().empty() && p.rules().empty())
    in.fail("--restart", {ec::invalid_argument, "is missing beside its other options",
                          "add --restart on-failure, always or unless-stopped"});
  if (p.has_attempts() != p.has_window_ns())
    in.fail(p.has_attempts() ? "--restart-attempts" : "--restart-window",
            {ec::invalid_argument, "the attempts and their window go together",
             "--restart-attempts 5 --restart-window 10m"});
  if (p.when() != "no" && to.remove_on_exit())
    in.fail("--restart", {ec::invalid_argument, "it contradicts --rm", "leave one of them out"});
  *to.mutable_restart() = std::move(p);
}

} // namespace gantry::cli
