#include <catch2/catch.hpp>

#include "runtime/health_policy.hpp"

using namespace gantry;
using namespace gantry::runtime;

namespace {

constexpr int64_t ms = 1'000'000;
constexpr int64_t sec = 1000 * ms;

/// A policy that is fine.
health_policy fine(health_profile profile, probe_role role) {
  health_policy out;
  out.profile = profile;
  out.probes.push_back(default_probe(profile, role));
  out.probes[0].question.args = {"/bin/check"};
  return out;
}

constexpr auto old_docker = health_profile::docker_2016;
constexpr auto new_docker = health_profile::docker_current;
constexpr auto kubernetes = health_profile::kubernetes;

} // namespace

TEST_CASE("health: questions in a word") {
  auto q = parse_question("http://:8080/health?full=1");
  REQUIRE(q);
  CHECK(q->kind == probe_kind::http);
  CHECK(q->address == "127.0.0.1");
  CHECK(q->port == 8080);
  CHECK(q->path == "/health?full=1");
  q = parse_question("https://[::1]");
  REQUIRE(q);
  CHECK(q->address == "::1");
  CHECK(q->port == 443);
  CHECK(q->path == "/");
  q = parse_question("tcp://10.0.0.1:6379");
  REQUIRE(q);
  CHECK(q->address == "10.0.0.1");
  CHECK(q->port == 6379);
  q = parse_question("grpc://localhost:9000/my.Service");
  REQUIRE(q);
  CHECK(q->address == "127.0.0.1");
  CHECK(q->service == "my.Service");
  for (const auto* text : {"http://127.0.0.1:8080/health?full=1", "https://[::1]:443/",
                           "tcp://10.0.0.1:6379", "grpc://127.0.0.1:9000/my.Service",
                           "grpc://127.0.0.1:9000", "grpcs://127.0.0.1:9443/a.B",
                           "unix:/run/app.sock", "file:/run/alive"})
    CHECK(text_of(*parse_question(text)) == text);
  q = parse_question("unix:/run/app.sock");
  REQUIRE(q);
  CHECK(q->kind == probe_kind::unix_socket);
  CHECK(q->path == "/run/app.sock");
  q = parse_question("file:/run/alive");
  REQUIRE(q);
  CHECK(q->kind == probe_kind::file);
  for (const char* text : {"", "ftp://x", "http:/x", "tcp://:", "tcp://:x", "tcp://:1/path",
                           "http://[::1:80/", "http://:99999999999/", "unix", "icmp:/x"}) {
    INFO(text);
    const auto x = parse_question(text);
    REQUIRE_FALSE(x);
    CHECK_FALSE(x.why().cure.empty());
  }
}

TEST_CASE("health: words there and back") {
  for (const char* text : {"docker-2016", "docker-current", "kubernetes"})
    CHECK(name_of(*parse_profile(text)) == text);
  for (const char* text : {"check", "startup", "readiness", "liveness"})
    CHECK(name_of(*parse_role(text)) == text);
  for (const char* text : {"exec", "http", "https", "tcp", "grpc", "grpcs", "unix", "file"})
    CHECK(name_of(*parse_kind(text)) == text);
  for (const char* text : {"none", "restart", "stop", "kill", "signal=USR1", "freeze", "capture"})
    CHECK(text_of(*parse_unhealthy(text)) == text);
  CHECK_FALSE(parse_profile("docker"));
  CHECK_FALSE(parse_role("live"));
  CHECK_FALSE(parse_unhealthy("reboot"));
  CHECK_FALSE(parse_unhealthy("signal"));
  CHECK_FALSE(parse_unhealthy("signal=NOPE"));
  const auto kind = parse_kind("icmp");
  REQUIRE_FALSE(kind);
  CHECK(kind.why().cure == "use exec, http, https, tcp, grpc, grpcs, unix or file");
}

TEST_CASE("health: policies that make no sense are refused") {
  auto refused = [](health_profile profile, auto change) {
    auto policy = fine(profile, profile == kubernetes ? probe_role::liveness : probe_role::check);
    REQUIRE(check_health(policy));
    change(policy, policy.probes[0]);
    const auto x = check_health(policy);
    return !x && x.why().code == ec::invalid_argument && !x.why().cure.empty();
  };
  auto wrong = [&refused](auto change) { return refused(new_docker, change); };
  for (const int64_t none : {int64_t{0}, int64_t{-1}, 999 * ms / 1000, INT64_MAX}) {
    CHECK(wrong([none](auto&, auto& p) { p.interval_ns = none; }));
    CHECK(wrong([none](auto&, auto& p) { p.timeout_ns = none; }));
    CHECK(wrong([none](auto&, auto& p) { p.start_period_ns = sec, p.start_interval_ns = none; }));
  }
  CHECK(wrong([](auto&, auto& p) { p.start_period_ns = -1; }));
  CHECK(wrong([](auto&, auto& p) { p.failures = 0; }));
  CHECK(wrong([](auto&, auto& p) { p.successes = 0; }));
  CHECK(wrong([](auto&, auto& p) { p.initial_delay_ns = sec; }));
  CHECK(wrong([](auto&, auto& p) { p.role = probe_role::liveness; }));
  CHECK(wrong([](auto& x, auto& p) { x.probes.push_back(p); }));
  CHECK(wrong([](auto& x, auto&) { x.history = 101; }));
  CHECK(wrong([](auto& x, auto&) { x.output_bytes = 65537; }));
  CHECK(wrong([](auto& x, auto&) { x.probes.clear(), x.on_unhealthy = *parse_ladder("kill"); }));
  CHECK(refused(old_docker, [](auto&, auto& p) { p.start_period_ns = p.start_interval_ns = sec; }));
  CHECK(refused(kubernetes, [](auto&, auto& p) { p.role = probe_role::check; }));
  CHECK(refused(kubernetes, [](auto&, auto& p) { p.successes = 2; }));
}

TEST_CASE("health: questions that make no sense are refused") {
  auto wrong = [](std::string_view text, auto change) {
    auto policy = fine(new_docker, probe_role::check);
    if (!text.empty())
      policy.probes[0].question = *parse_question(text);
    REQUIRE(check_health(policy));
    change(policy.probes[0].question);
    return !check_health(policy);
  };
  CHECK(wrong("", [](auto& q) { q.args.clear(); }));
  CHECK(wrong("", [](auto& q) { q.args = {""}; }));
  CHECK(wrong("", [](auto& q) { q.args = {"a", "\xff"}; }));
  CHECK(wrong("", [](auto& q) { q.args = {"a", "b"}, q.shell = true; }));
  for (uint32_t port : {0u, 65536u, 70000u})
    for (const char* text : {"http://:80/", "tcp://:80", "grpc://:80", "https://:80/",
                             "grpcs://:80"})
      CHECK(wrong(text, [port](auto& q) { q.port = port; }));
  CHECK(wrong("tcp://:1", [](auto& q) { q.address = "example.org"; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.path = "x"; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.path = "/a b"; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.path = "/\r\nX: y"; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.host = "a\nb"; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.status_first = 99; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.status_last = 600; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.status_last = 199; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.headers = {{"A b", "c"}}; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.headers = {{"A", "c\r\nB: d"}}; }));
  CHECK(wrong("http://:1/", [](auto& q) { q.headers.resize(65, {"A", "b"}); }));
  CHECK(wrong("grpc://:1", [](auto& q) { q.service = "a b"; }));
  CHECK(wrong("grpcs://:1", [](auto& q) { q.host = "a b"; }));
  CHECK(wrong("https://:1/", [](auto& q) { q.tls_ca = "/etc/ca.pem"; }));
  CHECK(wrong("unix:/a", [](auto& q) { q.path = "a"; }));
  CHECK(wrong("file:/a", [](auto& q) { q.path.clear(); }));
  CHECK(wrong("file:/a", [](auto& q) { q.younger_ns = -1; }));
}
