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
  const auto watched = spec_of({"--pressure", "memory.high", "--pressure", "cpu:1s/2s",
                                "--pressure-policy", "restart"});
  CHECK(watched.pressure(1) == "cpu:1s/2s");
  CHECK(watched.pressure_policy() == "restart");
  CHECK(refused({"--health-interval", "1s"}).find("--health-cmd") != std::string::npos);
  CHECK(refused({"--no-healthcheck", "--health-cmd", "x"}).find("contradicts")
        != std::string::npos);
  CHECK(refused({"--health-cmd", "x", "--health-retries", "0"}).find("--health-retries")
        != std::string::npos);
}

TEST_CASE("options: health checks that need no process") {
  const auto web = spec_of({"--health-http", "10.0.0.7:8080/a?b", "--health-header", "A: b",
                            "--health-status", "200-204"}).health().probes(0);
  CHECK(web.kind() == "http");
  CHECK(web.address() == "10.0.0.7");
  CHECK(web.port() == 8080);
  CHECK(web.path() == "/a?b");
  CHECK(web.headers(0) == "A: b");
  CHECK(web.status_first() == 200);
  CHECK(web.status_last() == 204);
  const auto tls = spec_of({"--health-https", "8443/a", "--health-header", "Host: b"})
                     .health().probes(0);
  CHECK(tls.kind() == "https");
  CHECK(tls.port() == 8443);
  CHECK(tls.headers(0) == "Host: b");
  const auto rpcs = spec_of({"--health-grpcs", "9443/a.B", "--health-host", "b", "--health-tls-ca",
                             "/proc/self/comm"}).health().probes(0);
  CHECK(rpcs.kind() == "grpcs");
  CHECK(rpcs.service() == "a.B");
  CHECK(rpcs.host() == "b");
  CHECK(rpcs.tls_ca().ends_with("\n")); // What is in the file.
  CHECK(refused({"--health-https", "8443", "--health-tls-ca", "/no/such/file"})
          .find("/no/such/file") != std::string::npos);
  for (const auto& [option, text, address, port] :
       {std::tuple{"--health-http", "http://localhost:8080/x", "", 8080u},
        std::tuple{"--health-http", "http://10.0.0.7/x", "10.0.0.7", 80u},
        std::tuple{"--health-https", "https://[::1]/x", "::1", 443u},
        std::tuple{"--health-https", "https:///x", "", 443u},
        std::tuple{"--health-http", "localhost/x", "", 80u}}) {
    const auto p = spec_of({option, text}).health().probes(0);
    CHECK((p.address() == address && p.port() == port && p.path() == "/x"));
  }
  CHECK(refused({"--health-http", "/x"}).find("names no port") != std::string::npos);
  CHECK(refused({"--health-http", "ftp://x/"}).find("names no port") != std::string::npos);
  const auto tcp = spec_of({"--health-tcp", "[::1]:6379"}).health().probes(0);
  CHECK(tcp.address() == "::1");
  CHECK(tcp.port() == 6379);
  const auto rpc = spec_of({"--health-grpc", "9000/a.B"}).health().probes(0);
  CHECK(rpc.kind() == "grpc");
  CHECK(rpc.service() == "a.B");
  CHECK(rpc.path().empty());
  CHECK(spec_of({"--health-unix", "/run/x"}).health().probes(0).path() == "/run/x");
  const auto file = spec_of({"--health-file", "/x", "--health-younger", "1m"}).health().probes(0);
  CHECK(file.younger_ns() == 60'000'000'000);
  CHECK(refused({"--health-tcp", "70000"}).find("--health-tcp") != std::string::npos);
  CHECK(refused({"--health-tcp", "80", "--health-cmd", "x"}).find("contradicts")
        != std::string::npos);
  CHECK(refused({"--health-header", "A: b"}).find("--health-http") != std::string::npos);
}

TEST_CASE("options: the probes of Kubernetes") {
  const auto h = spec_of({"--health-liveness", "http://:8080/a,b,period=5s,failures=2",
                          "--health-startup", "exec:test -e /a,b"}).health();
  CHECK(h.profile() == "kubernetes");
  REQUIRE(h.probes_size() == 2);
  CHECK(h.probes(0).role() == "startup");
  CHECK(h.probes(0).args(0) == "test -e /a,b");
  CHECK(h.probes(0).shell());
  CHECK(h.probes(1).role() == "liveness");
  CHECK(h.probes(1).path() == "/a,b");
  CHECK(h.probes(1).interval_ns() == 5'000'000'000);
  CHECK(h.probes(1).failures() == 2);
  CHECK_FALSE(h.probes(1).has_timeout_ns());
  const auto web = spec_of({"--health-liveness",
                            "https://:8443/a,header=A: b,header=C: d,status=200-204,host=x,"
                            "tls-ca=/proc/self/comm,periodSeconds=7,timeoutSeconds=2,"
                            "failureThreshold=4,initialDelaySeconds=0"}).health().probes(0);
  CHECK((web.kind() == "https" && web.path() == "/a" && web.host() == "x"));
  CHECK((web.headers_size() == 2 && web.headers(0) == "A: b" && web.headers(1) == "C: d"));
  CHECK((web.status_first() == 200 && web.status_last() == 204));
  CHECK((web.interval_ns() == 7'000'000'000 && web.timeout_ns() == 2'000'000'000));
  CHECK((web.failures() == 4 && web.initial_delay_ns() == 0));
  CHECK(web.tls_ca().ends_with("\n"));
  CHECK(refused({"--health-liveness", "https://:1/,tls-ca=/no/such/file"}).find("/no/such/file")
        != std::string::npos);
  CHECK(refused({"--health-liveness", "http://:80/x,scheme=HTTPS"}).find("no detail")
        != std::string::npos);
  CHECK(spec_of({"--health-liveness", "http://:80/x?a=1,b=2"}).health().probes(0).path()
        == "/x?a=1,b=2");
  CHECK(refused({"--health-liveness", "icmp://:80"}).find("no probe") != std::string::npos);
  CHECK(refused({"--health-liveness", "tcp://:80,period=0"}).find("above 0") != std::string::npos);
  CHECK(refused({"--health-liveness", "tcp://:80", "--health-tcp", "80"}).find("contradicts")
        != std::string::npos);
}

TEST_CASE("options: a notify socket, and what belongs to it") {
  CHECK_FALSE(spec_of({}).has_notify());
  CHECK(spec_of({"--notify"}).has_notify());
  const auto s = spec_of({"--notify", "--watchdog", "10s", "--notify-timeout", "1m",
                          "--notify-extend", "0", "--notify-access", "main",
                          "--health-on-failure", "restart"});
  CHECK(s.notify().watchdog_ns() == 10'000'000'000);
  CHECK(s.notify().start_timeout_ns() == 60'000'000'000);
  CHECK((s.notify().has_extend_max_ns() && s.notify().extend_max_ns() == 0));
  CHECK(s.notify().heard() == "main");
  CHECK(s.health().on_unhealthy() == "restart"); // Of what it says itself: no probe is needed.
  CHECK(s.health().probes_size() == 0);
  CHECK(spec_of({"--notify", "--health-cmd", "x"}).health().probes_size() == 1);
  for (const char* option : {"--watchdog", "--notify-timeout", "--notify-extend"})
    CHECK(refused({option, "5s"}).find("add --notify") != std::string::npos);
  CHECK(refused({"--notify", "--watchdog", "0"}).find("--watchdog") != std::string::npos);
  CHECK(refused({"--notify", "--health-retries", "3"}).find("--health-cmd") != std::string::npos);
}

TEST_CASE("options: what a container comes after") {
  const auto s = spec_of({"--after", "db", "--after", "job:exited_ok", "--after-timeout", "30s"});
  REQUIRE(s.after_size() == 2);
  CHECK((s.after(0).id() == "db" && s.after(0).condition().empty()));
  CHECK((s.after(1).id() == "job" && s.after(1).condition() == "exited_ok"));
  CHECK(s.after_timeout_ns() == 30'000'000'000);
  for (const char* text : {"", ":healthy", "db:"})
    CHECK(refused({"--after", text}).find("--after") != std::string::npos);
  CHECK(refused({"--after", "db", "--after-timeout", "0"}).find("--after-timeout")
        != std::string::npos);
}
