// Probes of containers under virtual time, with the supervisor killed at any moment.

#include <csignal>

#include "actors/evidence.hpp"
#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

/// A container that runs until it is stopped; its probe is the program `work` with these words.
v1::CreateRequest with_probe(const std::vector<std::string>& words, uint32_t retries = 1) {
  auto r = create("a", {"work", "term=0"}, true);
  auto* p = r.mutable_spec()->mutable_health()->add_probes();
  p->add_args("work");
  for (const auto& w : words)
    p->add_args(w);
  p->set_interval_ns(ns_of(1s));
  p->set_timeout_ns(ns_of(500ms));
  p->set_failures(retries);
  return r;
}

std::vector<v1::Event> health_events(world& w) {
  std::vector<v1::Event> out;
  for (const auto& e : w.events())
    if (e.type() == "health")
      out.push_back(e);
  return out;
}

} // namespace

TEST_CASE("a probe that passes makes it healthy, once told and no exec's events", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, with_probe({"after=5ms", "out=20", "exit=0"}));
    CHECK(health(w) == "starting");
    w.pass(500ms);
    CHECK(inspected(w).health().probes(0).results_size() == 0); // One interval after the start.
    for (int i = 0; i < 20; ++i) {
      w.pass(d.between(100ms, 700ms));
      if (d.chance(0.2))
        live_again(w);
    }
    w.pass(3s);
    CHECK(health(w) == "healthy");
    const auto events = health_events(w);
    REQUIRE(events.size() == 1);
    CHECK(events[0].details().at("old") == "starting");
    CHECK(events[0].details().at("new") == "healthy");
    CHECK(events[0].details().at("result") == "passed");
    CHECK(count_events(w, "exec-added") + count_events(w, "exec-started") == 0);
    CHECK(count_events(w, "exit") == 0);
    const auto seen = inspected(w);
    REQUIRE(seen.health().probes(0).results_size() == 5);
    CHECK(seen.health().probes(0).results(4).output().size() == 20);
    CHECK(seen.processes_size() == 1);
    CHECK(seen.summary().execs() == 0);
  }, 15);
}

TEST_CASE("streaks and results outlive the supervisor", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_probe({"exit=3", "after=1ms"}, 4));
  w.pass(3500ms);
  CHECK(health(w) == "starting");
  CHECK(inspected(w).health().probes(0).failures() == 3);
  live_again(w);
  CHECK(inspected(w).health().probes(0).failures() == 3);
  CHECK(inspected(w).health().probes(0).results_size() == 3);
  w.pass(1s);
  CHECK(health(w) == "unhealthy");
  REQUIRE(health_events(w).size() == 1);
  CHECK(health_events(w)[0].details().at("exit_code") == "3");
  CHECK(health_events(w)[0].details().at("failures") == "4");
  at_the_end(w);
}

TEST_CASE("a probe that takes too long is killed with all that it started", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, with_probe({"child", "ignore-term", "out=30"}));
    w.pass(d.between(900ms, 1400ms));
    if (d.chance(0.5))
      live_again(w);
    w.pass(1500ms);
    CHECK(health(w) == "unhealthy");
    const auto results = inspected(w).health().probes(0).results();
    REQUIRE_FALSE(results.empty());
    CHECK(results[0].result() == "timeout");
    CHECK(results[0].output().starts_with("it took longer than 500 ms"));
    done<v1::PauseReply>(w, on<v1::PauseRequest>("a")); // None begins now.
    done<v1::ResumeReply>(w, on<v1::ResumeRequest>("a"));
    w.pass(700ms);
    CHECK(w.host.groups.members("/gantry/default/a").size() == 1);
    CHECK(count_events(w, "kill") == 0);
  }, 15);
}

TEST_CASE("a paused container is not probed, and its interval begins anew", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_probe({"exit=1", "after=1ms"}, 100));
  w.pass(2500ms);
  CHECK(inspected(w).health().probes(0).failures() == 2);
  done<v1::PauseReply>(w, on<v1::PauseRequest>("a"));
  const auto refused = w.must<v1::RunProbeReply>(on<v1::RunProbeRequest>("a"));
  CHECK((!refused && refused.why().message.find("paused") != std::string::npos));
  w.pass(1min);
  live_again(w);
  w.pass(1min);
  CHECK(inspected(w).health().probes(0).failures() == 2);
  done<v1::ResumeReply>(w, on<v1::ResumeRequest>("a"));
  w.pass(900ms);
  CHECK(inspected(w).health().probes(0).failures() == 2);
  w.pass(500ms);
  CHECK(inspected(w).health().probes(0).failures() == 3);
  at_the_end(w);
}

TEST_CASE("unhealthy and restart: a new run, and its health begins anew", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = with_probe({"exit=1", "after=1ms"}, 2);
    r.mutable_spec()->mutable_health()->set_on_unhealthy("restart");
    if (d.chance(0.5))
      r.mutable_spec()->mutable_restart()->set_when("on-failure");
    done<v1::CreateReply>(w, r);
    for (int i = 0; i < 12; ++i) {
      w.pass(d.between(100ms, 900ms));
      if (d.chance(0.15))
        live_again(w);
    }
    w.pass(6s);
    CHECK(count_events(w, "start") >= 2);
    size_t scheduled = 0;
    for (const auto& e : w.events())
      if (e.type() == "restart-scheduled") {
        ++scheduled;
        CHECK(e.details().at("reason") == "unhealthy");
      }
    CHECK(scheduled + 1 >= count_events(w, "start"));
    CHECK(health_events(w).size() >= scheduled);
    // A person's stop ends that, too.
    done<v1::StopReply>(w, on<v1::StopRequest>("a"));
    const auto starts = count_events(w, "start");
    w.pass(1min);
    CHECK(count_events(w, "start") == starts);
  }, 15);
}

TEST_CASE("unhealthy and stop, kill or a signal", "[sim]") {
  for (const std::string act : {"stop", "kill", "signal=TERM"}) {
    INFO(act);
    world w({});
    REQUIRE(w.begin_life());
    auto r = with_probe({"exit=1", "after=1ms"});
    r.mutable_spec()->mutable_health()->set_on_unhealthy(act);
    r.mutable_spec()->mutable_restart()->set_when("always");
    r.mutable_spec()->mutable_restart()->set_delay_ns(ns_of(1h));
    r.mutable_spec()->mutable_restart()->set_delay_max_ns(ns_of(1h));
    done<v1::CreateReply>(w, r);
    w.pass(5s);
    const auto c = inspected(w).summary();
    CHECK(c.state() == (act == "stop" ? v1::STOPPED : v1::RESTARTING));
    CHECK(c.exit().signal() == (act == "kill" ? SIGKILL : 0));
    live_again(w);
    w.pass(5s);
    CHECK(inspected(w).summary().state() == c.state());
    at_the_end(w);
  }
}

TEST_CASE("a probe on demand, and one that cannot be run", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_probe({"exit=0", "after=1ms"}));
  const auto reply = done<v1::RunProbeReply>(w, on<v1::RunProbeRequest>("a"));
  CHECK(reply.result().result() == "passed");
  CHECK(reply.health().status() == "healthy");
  auto wrong = on<v1::RunProbeRequest>("a");
  wrong.set_role("liveness");
  CHECK_FALSE(w.must<v1::RunProbeReply>(wrong));
  remove_all(w);
  auto missing = with_probe({});
  missing.mutable_spec()->mutable_health()->mutable_probes(0)->set_args(0, "/no/such/program");
  done<v1::CreateReply>(w, missing);
  const auto failed = done<v1::RunProbeReply>(w, on<v1::RunProbeRequest>("a"));
  CHECK(failed.result().result() == "failed");
  CHECK(failed.result().exit_code() == 127);
  CHECK(failed.health().status() == "unhealthy");
  remove_all(w);
  done<v1::CreateReply>(w, create("a", {"work"}, true));
  const auto none = w.must<v1::RunProbeReply>(on<v1::RunProbeRequest>("a"));
  CHECK((!none && none.why().message.find("no health check") != std::string::npos));
  at_the_end(w);
}

TEST_CASE("the ladder: a signal, then restarts, then it stays stopped", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = with_probe({"exit=1", "after=1ms"}, 2);
    r.mutable_spec()->mutable_health()->set_on_unhealthy("signal=CONT,restart:2,stop");
    done<v1::CreateReply>(w, r);
    for (int i = 0; i < 50; ++i) {
      w.pass(d.between(100ms, 900ms));
      if (d.chance(0.1))
        live_again(w);
    }
    w.pass(20s);
    CHECK(inspected(w).summary().state() == v1::STOPPED);
    std::vector<std::string> acts;
    std::vector<std::string> evidence;
    for (const auto& e : w.events())
      if (e.type() == "health-action") {
        acts.push_back(e.details().at("action"));
        if (const auto at = e.details().find("evidence"); at != e.details().end())
          evidence.push_back(at->second);
      }
    CHECK(acts == std::vector<std::string>{"signal=CONT", "restart", "restart", "stop"});
    CHECK(evidence.size() == 3); // Before each end.
    CHECK(count_events(w, "start") == 3);
    v1::ReadEvidenceRequest read = on<v1::ReadEvidenceRequest>("a");
    const auto newest = done<v1::Evidence>(w, read);
    CHECK(newest.kept().reason() == "unhealthy");
    CHECK(std::to_string(newest.kept().number()) == evidence.back());
    CHECK(newest.processes_size() >= 1);
    read.set_number(newest.kept().number() + 1);
    CHECK_FALSE(w.must<v1::Evidence>(read));
  }, 15);
}

TEST_CASE("evidence goes when it is a week old, also of one that nothing happens to", "[sim]") {
  for (const bool new_life : {false, true}) {
    world w({});
    REQUIRE(w.begin_life());
    auto r = create("a", {"work", "term=0"}, true);
    r.mutable_spec()->set_max_run_ns(ns_of(3s));
    done<v1::CreateReply>(w, r);
    w.pass(10s);
    const auto read = on<v1::ReadEvidenceRequest>("a");
    const auto number = done<v1::Evidence>(w, read).kept().number();
    const auto file = actors::evidence_file(
      w.shared().log_dir(process_of(w, "a", "init").serial), number);
    w.pass(24h * 7 - 1min);
    CHECK(done<v1::Evidence>(w, read).kept().number() == number);
    CHECK(w.host.files.exists(file));
    if (new_life) {
      w.kill();
      w.end_life();
      w.host.time.advance(1h);
      REQUIRE(w.begin_life());
    }
    w.pass(1min);
    const auto gone = w.must<v1::Evidence>(read);
    REQUIRE_FALSE(gone);
    CHECK(gone.why().code == ec::not_found);
    CHECK_FALSE(w.host.files.exists(file));
    at_the_end(w);
  }
}

TEST_CASE("evidence is kept before a freeze, and a frozen one can be looked at", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto r = with_probe({"exit=1", "after=1ms"});
  r.mutable_spec()->mutable_health()->set_on_unhealthy("capture,freeze");
  done<v1::CreateReply>(w, r);
  w.pass(1500ms);
  CHECK(count_events(w, "evidence") == 1);
  CHECK(count_events(w, "health-action") == 1);
  CHECK(inspected(w).summary().state() == v1::RUNNING);
  w.pass(2s);
  CHECK(inspected(w).summary().state() == v1::PAUSED);
  live_again(w);
  CHECK(inspected(w).summary().state() == v1::PAUSED);
  CHECK(inspected(w).health().actions() == 2);
  CHECK(inspected(w).health().evidence_size() == 1);
  done<v1::ResumeReply>(w, on<v1::ResumeRequest>("a"));
  CHECK(inspected(w).summary().state() == v1::RUNNING);
  at_the_end(w);
}

TEST_CASE("probes and policies are changed while it runs", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_probe({"exit=1", "after=1ms"}, 100));
  w.pass(2500ms);
  CHECK(inspected(w).health().probes(0).failures() == 2);
  auto update = on<v1::UpdateRequest>("a");
  *update.mutable_health() = inspected(w).spec().health();
  update.mutable_health()->mutable_probes(0)->set_interval_ns(ns_of(100ms));
  update.mutable_health()->mutable_probes(0)->set_failures(5);
  update.mutable_restart()->set_when("always");
  done<v1::UpdateReply>(w, update);
  w.pass(1s);
  CHECK(health(w) == "unhealthy");
  CHECK(count_events(w, "updated") == 1);
  live_again(w);
  CHECK(inspected(w).spec().restart().when() == "always");
  CHECK(health(w) == "unhealthy");
  update.mutable_health()->mutable_probes(0)->set_interval_ns(0);
  CHECK_FALSE(w.must<v1::UpdateReply>(update));
  update.clear_restart();
  update.mutable_health()->Clear();
  done<v1::UpdateReply>(w, update);
  CHECK(health(w).empty());
  auto begun = with_probe({"exit=0", "after=1ms"}).spec().health();
  *update.mutable_health() = begun;
  done<v1::UpdateReply>(w, update);
  w.pass(2s);
  CHECK(health(w) == "healthy");
  at_the_end(w);
}
