// Probes that need no process, in virtual time: what a connection meets is what is recorded of it,
// with the supervisor killed at any moment.

#include <algorithm>

#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

/// What a connection met, and what must be said of it.
struct met {
  std::string result;
  std::string words;
};

/// A server that answers each connection by chance, and remembers how.
struct moody_server {
  world& w;
  dice& d;
  bool only_good = false;
  std::vector<met> all = {};

  peer_fate next() {
    peer_fate f;
    f.connect_after = d.between(0ms, 20ms);
    f.answer_after = d.between(0ms, 50ms);
    f.answer = "HTTP/1.1 200 OK\r\n\r\n";
    switch (only_good ? 0 : d.below(9)) {
      case 1:
        f.connect = -ECONNREFUSED;
        note("failed", "Connection refused");
        break;
      case 2:
        f.connect = -EINPROGRESS;
        note("timeout", "connecting to");
        break;
      case 3:
        f.answer = "";
        f.closes = false;
        note("timeout", "waiting for an answer");
        break;
      case 4:
        f.answer_after = 800ms; // Longer than the probe waits.
        note("timeout", "waiting for an answer");
        break;
      case 5:
        f.answer = "HTTP/1.1 503 Busy\r\n\r\n";
        note("failed", "503 Busy");
        break;
      case 6:
        f.answer = "HTTP/1.1 2";
        note("failed", "within its answer");
        break;
      case 7:
        f.resets = true;
        note("failed", "Connection reset");
        break;
      case 8:
        f.answer = "220 mail\r\n";
        note("failed", "no answer of HTTP/1");
        break;
      default: note("passed", "HTTP/1.1 200 OK");
    }
    return f;
  }

  void note(const std::string& result, const std::string& words) { all.push_back({result, words}); }

  void serve() {
    w.host.peers.next = [this] { return next(); };
  }
};

v1::CreateRequest asking(const std::string& kind, uint32_t failures) {
  auto r = create("a", {"work", "term=0"}, true);
  r.mutable_spec()->mutable_health()->set_history(100);
  auto* p = r.mutable_spec()->mutable_health()->add_probes();
  p->set_kind(kind);
  if (kind == "unix" || kind == "file")
    p->set_path("/run/alive");
  else
    p->set_port(8080);
  p->set_interval_ns(ns_of(1s));
  p->set_timeout_ns(ns_of(500ms));
  p->set_failures(failures);
  return r;
}

std::vector<v1::ProbeResult> results(world& w) {
  const auto seen = inspected(w);
  const auto& all = seen.health().probes(0).results();
  return {all.begin(), all.end()};
}

/// Each result is that of a connection, in their order; one that a kill has cut off has none.
size_t explained(const std::vector<v1::ProbeResult>& told, const std::vector<met>& all) {
  size_t at = 0;
  size_t n = 0;
  for (const auto& r : told) {
    while (at < all.size()
           && (all[at].result != r.result() || r.output().find(all[at].words) == std::string::npos))
      ++at;
    if (at++ == all.size()) {
      FAIL_CHECK("nobody answered so: " << r.result() << ", " << r.output());
      return n;
    }
    ++n;
  }
  return n;
}

/// The changes of health that these results make, where so many failures in a row are one.
std::vector<std::string> changes(const std::vector<v1::ProbeResult>& told, uint32_t failures) {
  std::vector<std::string> out;
  std::string now = "starting";
  uint32_t streak = 0;
  for (const auto& r : told) {
    streak = r.result() == "passed" ? 0 : streak + 1;
    const std::string next = streak == 0 ? "healthy" : streak >= failures ? "unhealthy" : now;
    if (next != now)
      out.push_back(next);
    now = next;
  }
  return out;
}

std::vector<std::string> told_changes(world& w) {
  std::vector<std::string> out;
  for (const auto& e : w.events())
    if (e.type() == "health")
      out.push_back(e.details().at("new"));
  return out;
}

} // namespace

TEST_CASE("a connection's fate is the probe's result, whoever dies meanwhile", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    moody_server server{w, d};
    server.serve();
    done<v1::CreateReply>(w, asking("http", 2));
    size_t kills = 0;
    for (int i = 0; i < 60; ++i) {
      w.pass(d.between(50ms, 700ms));
      if (d.chance(0.1)) {
        live_again(w);
        ++kills;
      }
    }
    server.only_good = true;
    w.pass(5s);
    const auto told = results(w);
    CHECK(explained(told, server.all) == told.size());
    CHECK(told.size() + kills + 1 >= server.all.size()); // A kill cuts one off, at most.
    CHECK(told.size() > 10);
    for (size_t i = 1; kills == 0 && i < told.size(); ++i)
      CHECK(told[i].began_ns() - told[i - 1].ended_ns() >= ns_of(1s));
    for (const auto& r : told)
      CHECK(r.ended_ns() - r.began_ns() <= ns_of(502ms));
    CHECK(told_changes(w) == changes(told, 2));
    CHECK(health(w) == "healthy");
    CHECK(count_events(w, "exec-added") == 0);
    w.host.peers.next = [] { return peer_fate{.connect = -ECONNREFUSED}; };
  }, 20);
}

TEST_CASE("tcp, grpc and a unix socket take what they meet", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    const std::string kind = std::array{"tcp", "grpc", "unix"}[d.below(3)];
    INFO(kind);
    w.host.files.mkdirs(std::string(container_root) + "/run");
    w.host.files.put(std::string(container_root) + "/run/alive", "");
    w.host.peers.next = [] { return peer_fate{.answer = "HTTP/1.1 400 Bad\r\n\r\n"}; };
    done<v1::CreateReply>(w, asking(kind, 1));
    w.pass(1200ms);
    const auto first = results(w);
    REQUIRE(first.size() == 1);
    CHECK(first[0].result() == (kind == "grpc" ? "failed" : "passed"));
    CHECK(health(w) == (kind == "grpc" ? "unhealthy" : "healthy"));
    if (kind == "grpc")
      CHECK(first[0].output().find("no HTTP/2") != std::string::npos);
    w.host.peers.next = [] { return peer_fate{.connect = -ECONNREFUSED}; };
    pass_with_kills(w, d, 3s, 100ms, 0.1);
    w.pass(2s);
    CHECK(health(w) == "unhealthy");
    CHECK(results(w).back().output().find("Connection refused") != std::string::npos);
  }, 20);
}

TEST_CASE("a file is there or not, and a path that hangs is asked by one only", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    const auto path = std::string(container_root) + "/run/alive";
    auto r = asking("file", 1);
    const bool aged = d.chance(0.5);
    if (aged)
      r.mutable_spec()->mutable_health()->mutable_probes(0)->set_younger_ns(ns_of(1min));
    done<v1::CreateReply>(w, r);
    w.pass(1200ms);
    CHECK(health(w) == "unhealthy");
    CHECK(results(w).back().output().find("No such file") != std::string::npos);
    w.host.files.mkdirs(std::string(container_root) + "/run");
    w.host.files.put(path, "");
    int why = 0;
    w.host.files.find(path, why)->changed = w.host.time.realtime();
    w.pass(2s);
    CHECK(health(w) == "healthy");
    if (aged) {
      w.host.time.step_wall(2min);
      w.pass(2s);
      CHECK(health(w) == "unhealthy");
      CHECK(results(w).back().output().find("longer than 60000 ms") != std::string::npos);
      w.host.files.find(path, why)->changed = w.host.time.realtime();
      w.pass(2s);
    }
    CHECK(health(w) == "healthy");
    w.host.peers.path_hangs_until = w.host.time.now() + 20s;
    w.pass(3s);
    CHECK(health(w) == "unhealthy");
    CHECK(results(w).back().result() == "timeout");
    if (d.chance(0.3))
      live_again(w);
    w.pass(3s);
    CHECK(w.here().kernel.requests() < 20); // Not one more with each probe.
    w.pass(20s);
    CHECK(health(w) == "healthy");
  }, 20);
}

namespace {

/// One probe that fails and one that passes, in a supervisor that dies at this call of the kernel.
/// @returns How many calls there were until both were told.
uint64_t two_probes(uint64_t kill_at) {
  INFO("killed at call " << kill_at);
  world w({});
  dice d(kill_at);
  moody_server server{w, d};
  server.only_good = true;
  server.serve();
  REQUIRE(w.begin_life());
  auto r = asking("http", 1);
  r.mutable_spec()->mutable_health()->set_on_unhealthy("signal=CONT");
  done<v1::CreateReply>(w, r);
  w.pass(100ms);
  w.end_life(); // In good order: what follows are the calls of probes, not of a create.
  (void)w.begin_life(kill_at);
  size_t bad = 0;
  w.host.peers.next = [&server, &bad] {
    if (++bad > 1)
      return server.next();
    server.note("failed", "Connection refused");
    return peer_fate{.connect = -ECONNREFUSED};
  };
  if (w.lives())
    w.pass(2500ms);
  const auto calls = w.calls();
  if (!w.lives()) {
    w.end_life();
    REQUIRE(w.begin_life());
  }
  w.pass(4s);
  const auto told = results(w);
  CHECK(explained(told, server.all) == told.size());
  CHECK(told.size() + 1 >= server.all.size());
  CHECK(told_changes(w) == changes(told, 1));
  CHECK(health(w) == "healthy");
  const auto ill = told_changes(w);
  CHECK(count_events(w, "health-action")
        == size_t(std::count(ill.begin(), ill.end(), "unhealthy")));
  w.host.peers.next = [] { return peer_fate{.connect = -ECONNREFUSED}; };
  at_the_end(w);
  return calls;
}

} // namespace

TEST_CASE("a supervisor that is killed at any call of a probe says nothing wrong of it", "[sim]") {
  const auto calls = two_probes(0);
  REQUIRE(calls > 100);
  for (uint64_t at = 1; at <= calls; ++at)
    two_probes(at);
}
