#include <algorithm>
#include <array>

#include "apps/gantry/reader.hpp"

// The options of a health check, with Docker's names. What their words mean is gantryd's to say.

namespace gantry::cli {

namespace {

constexpr std::array details{"--health-reset-after",    "--health-interval",
                             "--health-timeout",
                             "--health-retries",        "--health-start-period",
                             "--health-start-interval", "--health-on-failure",
                             "--health-profile"};

} // namespace

void take_health(reader& in, v1::ContainerSpec& to, bool change) {
  const auto& line = in.line;
  const auto detail = std::find_if(details.begin(), details.end(),
                                   [&line](const char* d) { return line.given(d); });
  const bool off = line.flag("--no-healthcheck");
  const bool command = line.given("--health-cmd");
  if (off && (command || detail != details.end()))
    in.fail("--no-healthcheck", {ec::invalid_argument, "it contradicts the other options of health",
                                 "leave one of them out"});
  if (!off && !command && !change && detail != details.end())
    in.fail(*detail, {ec::invalid_argument, "there is no check that it could belong to",
                      "add --health-cmd 'CMD'"});
  if (off && change)
    (void)to.mutable_health();
  if (off || (!command && (!change || detail == details.end())))
    return; // The last word is that there is none.
  auto& health = *to.mutable_health();
  health.set_profile(line.text("--health-profile"));
  health.set_on_unhealthy(line.text("--health-on-failure"));
  auto& p = *health.add_probes();
  if (command) {
    p.set_shell(true);
    p.add_args(line.text("--health-cmd"));
  }
  in.take("--health-reset-after", parse_duration,
          [&health](int64_t ns) { health.set_reset_after_ns(ns); });
  in.take("--health-interval", parse_pause, [&p](int64_t ns) { p.set_interval_ns(ns); });
  in.take("--health-timeout", parse_pause, [&p](int64_t ns) { p.set_timeout_ns(ns); });
  in.take("--health-start-period", parse_duration, [&p](int64_t ns) { p.set_start_period_ns(ns); });
  in.take("--health-start-interval", parse_pause,
          [&p](int64_t ns) { p.set_start_interval_ns(ns); });
  const auto retries = [](std::string_view t) { return parse_number(t, 1, 1'000'000); };
  in.take("--health-retries", retries,
          [&p](int64_t n) { p.set_failures(static_cast<uint32_t>(n)); });
}

} // namespace gantry::cli
