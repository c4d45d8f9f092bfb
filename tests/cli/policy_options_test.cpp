#include <catch2/catch.hpp>

#include "apps/gantry/options.hpp"

using namespace gantry::cli;

namespace {

std::variant<options, answer, usage_error> parse(std::vector<const char*> words) {
  words.insert(words.begin(), {"gantry", "run", "--rootfs", "/"});
  words.push_back("x");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

gantry::v1::ContainerSpec spec_of(std::vector<const char*> words) {
  auto out = parse(std::move(words));
  if (const auto* wrong = std::get_if<usage_error>(&out))
    FAIL(wrong->why.text());
  return std::get<options>(out).spec;
}

std::string refused(std::vector<const char*> words) {
  auto out = parse(std::move(words));
  REQUIRE(std::holds_alternative<usage_error>(out));
  return std::get<usage_error>(out).why.text();
}

} // namespace

TEST_CASE("options: a restart policy") {
  CHECK_FALSE(spec_of({}).has_restart());
  const auto r = spec_of({"--restart", "on-failure:5", "--restart-delay", "1s", "--restart-factor",
                          "1.5", "--restart-delay-max", "1m", "--restart-jitter", "0",
                          "--restart-reset", "30s", "--restart-attempts", "9", "--restart-window",
                          "1h", "--restart-rule", "oom:dead", "--restart-rule", "exit=1:stay"})
                   .restart();
  CHECK(r.when() == "on-failure");
  CHECK(r.retries() == 5);
  CHECK(r.delay_ns() == 1'000'000'000);
  CHECK(r.factor() == 1.5);
  CHECK(r.delay_max_ns() == 60'000'000'000);
  CHECK(r.has_jitter());
  CHECK(r.reset_after_ns() == 30'000'000'000);
  CHECK(r.attempts() == 9);
  CHECK(r.window_ns() == 3'600'000'000'000);
  REQUIRE(r.rules_size() == 2);
  CHECK(spec_of({"--rm", "--restart", "no"}).remove_on_exit());
}

TEST_CASE("options: a restart policy that makes no sense") {
  CHECK(refused({"--restart", "on-failure:0"}).find("--restart") != std::string::npos);
  CHECK(refused({"--rm", "--restart", "always"}).find("--rm") != std::string::npos);
  CHECK(refused({"--restart-delay", "1s"}).find("add --restart") != std::string::npos);
  CHECK(refused({"--restart", "always", "--restart-delay", "0"}).find("above 0")
        != std::string::npos);
  CHECK(refused({"--restart", "always", "--restart-attempts", "3"}).find("window")
        != std::string::npos);
  CHECK(refused({"--restart", "always", "--restart-factor", "two"}).find("no number")
        != std::string::npos);
}

TEST_CASE("options: a health check, with Docker's names") {
  CHECK_FALSE(spec_of({}).has_health());
  CHECK_FALSE(spec_of({"--no-healthcheck"}).has_health());
  const auto h = spec_of({"--health-cmd", "test -e /ok", "--health-interval", "500ms",
                          "--health-timeout", "2s", "--health-retries", "7",
                          "--health-start-period", "1m", "--health-start-interval", "1s",
                          "--health-on-failure", "restart", "--health-profile", "docker-current"})
                   .health();
  REQUIRE(h.probes_size() == 1);
  const auto& p = h.probes(0);
  CHECK(p.shell());
  CHECK(p.args(0) == "test -e /ok");
  CHECK(p.interval_ns() == 500'000'000);
  CHECK(p.timeout_ns() == 2'000'000'000);
  CHECK(p.failures() == 7);
  CHECK(p.start_period_ns() == 60'000'000'000);
  CHECK(p.start_interval_ns() == 1'000'000'000);
  CHECK(h.on_unhealthy() == "restart");
  CHECK(h.profile() == "docker-current");
  CHECK(spec_of({"--health-cmd", "x", "--health-reset-after", "1m"}).health().reset_after_ns()
        == 60'000'000'000);
  CHECK(spec_of({"--max-run-time", "2h"}).max_run_ns() == 7'200'000'000'000);
  CHECK(spec_of({"--oom-policy", "stop"}).oom_policy() == "stop");
  CHECK(refused({"--health-interval", "1s"}).find("--health-cmd") != std::string::npos);
  CHECK(refused({"--no-healthcheck", "--health-cmd", "x"}).find("contradicts")
        != std::string::npos);
  CHECK(refused({"--health-cmd", "x", "--health-retries", "0"}).find("--health-retries")
        != std::string::npos);
}
