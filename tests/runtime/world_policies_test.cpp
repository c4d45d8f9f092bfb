#include <catch2/catch.hpp>

#include "runtime/health_messages.hpp"
#include "runtime/policy_messages.hpp"
#include "world_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

/// "web" runs, with both kinds of policies.
struct kept_web {
  world w;
  scribe s;
  kept_web() {
    auto c = s.creating(true);
    auto* spec = c.mutable_creating()->mutable_spec();
    spec->mutable_restart()->set_when("on-failure");
    spec->mutable_health()->add_probes()->add_args("check");
    w.apply(c);
    w.apply(s.created());
    w.apply(s.started());
  }
  const container_view& c() { return *w.find(web); }
  journal::RestartState state() { return restart_state_of(c()); }
  void exit_with(int code) {
    w.apply(s.died("init", code));
    w.apply(s.exited("init", code));
  }
  void schedule(uint32_t attempt) {
    auto r = s.record();
    auto* x = r.mutable_restart_scheduled();
    x->set_attempt(attempt);
    x->set_total(attempt);
    x->set_at_ns(s.now_ns + 5);
    x->set_reason("exit code 3");
    x->add_recent_ns(s.now_ns);
    w.apply(r);
  }
  void start(bool by_policy) {
    auto r = s.record();
    r.set_run(c().run + 1);
    r.mutable_starting()->set_fresh(true);
    r.mutable_starting()->set_by_policy(by_policy);
    w.apply(r);
  }
  void probe(const std::string& to, uint32_t failures) {
    auto r = s.record();
    auto* x = r.mutable_probe_ended();
    x->set_role("check");
    x->set_to(to);
    x->set_keep(3);
    x->mutable_now()->set_failures(failures);
    x->mutable_result()->set_result("failed");
    x->mutable_result()->set_exit_code(int32_t(failures));
    w.apply(r);
  }
  /// As it is, and as it is after a snapshot.
  v1::Container shown() {
    world again;
    again.load(w.save());
    CHECK(same(again.save(), w.save()));
    return again.summary(*again.find(web));
  }
};

} // namespace

TEST_CASE("world: a restart is scheduled, begun, and counted") {
  kept_web x;
  x.exit_with(3);
  CHECK(x.c().state == v1::STOPPED);
  REQUIRE(last_end_of(x.c()));
  CHECK(last_end_of(x.c())->exit_code == 3);
  CHECK_FALSE(last_end_of(x.c())->by_person);
  x.schedule(1);
  CHECK(x.shown().state() == v1::RESTARTING);
  CHECK(x.shown().restart().next_ns() != 0);
  x.start(true);
  CHECK(x.shown().state() == v1::CREATING);
  CHECK(x.shown().restart().next_ns() == 0);
  CHECK(x.shown().restart().attempt() == 1);
  auto failed = x.s.record();
  failed.mutable_start_failed();
  x.w.apply(failed);
  REQUIRE(last_end_of(x.c())); // A restart that failed is its policy's again …
  CHECK(last_end_of(x.c())->start_failed);
  x.start(false);
  CHECK(x.state().in_a_row() == 0);
  CHECK(x.state().total() == 1);
  x.w.apply(failed);
  CHECK_FALSE(last_end_of(x.c())); // … a start that somebody asked for is not.
}

TEST_CASE("world: who ended a run") {
  auto ended = [](auto fill) {
    kept_web x;
    auto r = x.s.record("init");
    fill(r);
    x.w.apply(r);
    x.exit_with(3);
    return *last_end_of(x.c());
  };
  CHECK(ended([](auto& r) { r.mutable_stopping()->set_signal(15); }).by_person);
  CHECK(ended([](auto& r) { r.mutable_killed()->set_final(true); }).by_person);
  CHECK_FALSE(ended([](auto& r) { r.mutable_killed()->set_signal(1); }).by_person);
  CHECK_FALSE(ended([](auto& r) { r.mutable_stopping()->set_reason("shutdown"); }).by_person);
  const auto ill = ended([](auto& r) { r.mutable_stopping()->set_reason("unhealthy"); });
  CHECK(ill.unhealthy);
  CHECK_FALSE(ill.by_person);
  CHECK(ended([](auto& r) {
          r.mutable_stopping()->set_reason("unhealthy");
          r.mutable_stopping()->set_final(true);
        }).by_person);
}

TEST_CASE("world: given up, and cleared") {
  kept_web x;
  x.exit_with(3);
  auto r = x.s.record();
  r.mutable_given_up()->set_reason("enough");
  x.w.apply(r);
  CHECK(x.shown().state() == v1::DEAD);
  CHECK(x.shown().restart().reason() == "enough");
  auto cleared = x.s.record();
  cleared.mutable_restart_cancelled();
  x.w.apply(cleared);
  CHECK(x.shown().state() == v1::STOPPED);
  CHECK(last_end_of(x.c())->by_person);
}

TEST_CASE("world: health is the run's, and keeps so many results") {
  kept_web x;
  CHECK(x.shown().health() == "starting");
  for (uint32_t i = 1; i <= 5; ++i)
    x.probe(i == 5 ? "unhealthy" : "starting", i);
  CHECK(x.shown().health() == "unhealthy");
  v1::ContainerSpec said;
  said.mutable_health()->add_probes()->add_args("check");
  const auto policy = health_policy_of(said);
  REQUIRE(policy);
  const auto state = health_state_of(x.c(), *policy);
  CHECK(state.probes[0].failures == 5);
  REQUIRE(state.probes[0].results.size() == 3);
  CHECK(state.probes[0].results[0].exit_code == 3);
  x.exit_with(1);
  CHECK(x.shown().health().empty()); // It does not run.
  CHECK(health_state_of(x.c(), *policy).probes[0].results.size() == 3); // It can be looked at.
  x.start(false);
  x.w.apply(x.s.started(2));
  CHECK(x.shown().health() == "starting");
  CHECK(health_state_of(x.c(), *policy).probes[0].results.empty());
}

TEST_CASE("world: only a change of health is an event, and no probe is an exec") {
  scribe s;
  auto r = s.record();
  r.mutable_probe_ended()->set_from("healthy");
  r.mutable_probe_ended()->set_to("healthy");
  CHECK_FALSE(event_of(r));
  REQUIRE(event_of(r, probe_runs::told));
  CHECK(event_of(r, probe_runs::told)->type() == "probe");
  r.mutable_probe_ended()->set_to("unhealthy");
  CHECK(event_of(r, probe_runs::told)->type() == "health");
  REQUIRE(event_of(r));
  CHECK(event_of(r)->type() == "health");
  CHECK(event_of(r)->details().at("old") == "healthy");
  CHECK(event_of(r)->details().at("new") == "unhealthy");
  CHECK(event_of(s.exec_adding("e1")));
  CHECK_FALSE(event_of(s.exec_adding(probe_process(probe_role::check))));
  CHECK_FALSE(event_of(s.exited(probe_process(probe_role::check), 0)));
  CHECK_FALSE(checked_process(probe_process(probe_role::check))); // No client can name one so.
}

TEST_CASE("world: the ladder goes on over a restart by the policy, not over one by a person") {
  kept_web x;
  auto due = x.s.record();
  due.mutable_probe_ended()->set_role("check");
  due.mutable_probe_ended()->set_to("unhealthy");
  due.mutable_probe_ended()->set_acts(true);
  x.w.apply(due);
  const auto kept = [&x] {
    journal::HealthState out;
    out.ParseFromString(x.c().health);
    return out;
  };
  CHECK(kept().action_due() == due.seq());
  auto action = x.s.record();
  action.mutable_health_action()->set_what("restart");
  action.mutable_health_action()->set_number(2);
  x.w.apply(action);
  CHECK(kept().acting() == "restart"); // Decided, and not begun: the next life does it.
  CHECK(kept().action_due() == action.seq());
  auto stopping = x.s.record();
  stopping.mutable_stopping()->set_reason("unhealthy");
  x.w.apply(stopping);
  CHECK(kept().acting().empty());
  CHECK(kept().action_due() == 0);
  x.exit_with(0);
  x.schedule(1);
  x.start(true);
  x.w.apply(x.s.started(2));
  CHECK(kept().actions() == 2);
  x.exit_with(0);
  x.start(false);
  x.w.apply(x.s.started(3));
  CHECK(kept().actions() == 0);
}

TEST_CASE("world: the newest evidence is kept, none that is old, and it goes with the log") {
  kept_web x;
  const auto taken = [&x](uint64_t number, int64_t at) {
    auto r = x.s.record();
    r.mutable_evidence_taken()->mutable_what()->set_number(number);
    r.mutable_evidence_taken()->mutable_what()->set_taken_ns(at);
    x.w.apply(r);
    REQUIRE(event_of(r));
    CHECK(event_of(r)->type() == "evidence");
  };
  for (uint64_t i = 1; i <= 7; ++i)
    taken(100 + i, int64_t(i));
  (void)x.shown();
  CHECK(x.c().evidence.size() == most_evidence);
  CHECK(x.w.take_serial() > 107);
  taken(200, evidence_age_ns + 6);
  REQUIRE(x.c().evidence.size() == 2); // 107 and 200.
  v1::EvidenceKept oldest;
  oldest.ParseFromString(x.c().evidence[0]);
  CHECK(oldest.number() == 107);
  x.exit_with(1);
  x.start(false); // A new log.
  CHECK(x.c().evidence.empty());
}

TEST_CASE("world: whether another run by the policy follows can be told at once") {
  kept_web x;
  CHECK_FALSE(awaits_restart(x.c(), 0)); // It runs.
  x.exit_with(3);
  CHECK(awaits_restart(x.c(), 0)); // Before it is decided …
  x.schedule(1);
  CHECK(awaits_restart(x.c(), 0)); // … and after.
  auto cancelled = x.s.record();
  cancelled.mutable_restart_cancelled();
  x.w.apply(cancelled);
  CHECK_FALSE(awaits_restart(x.c(), 0));
}

TEST_CASE("world: policies are changed, and say nothing about what ended before") {
  kept_web x;
  auto r = x.s.record();
  r.mutable_updated()->mutable_restart()->set_when("no");
  r.mutable_updated()->mutable_health();
  x.w.apply(r);
  CHECK_FALSE(x.c().has_health);
  CHECK(x.shown().health().empty());
  REQUIRE(event_of(r));
  CHECK(event_of(r)->details().count("restart") == 1);
  CHECK(event_of(r)->details().count("health_before") == 1);
  x.exit_with(3);
  CHECK_FALSE(awaits_restart(x.c(), 0));
  r.mutable_updated()->mutable_restart()->set_when("always");
  x.w.apply(r);
  CHECK(last_end_of(x.c())->by_person);
  CHECK_FALSE(awaits_restart(x.c(), 0));
}

TEST_CASE("world: a run that took too long, or was ended for want of memory") {
  for (const std::string reason : {"max-run-time", "oom"}) {
    kept_web x;
    auto r = x.s.record();
    r.mutable_stopping()->set_reason(reason);
    x.w.apply(r);
    x.exit_with(0);
    REQUIRE(last_end_of(x.c()));
    CHECK(last_end_of(x.c())->overtime == (reason != "oom"));
    CHECK(last_end_of(x.c())->oom == (reason == "oom"));
    CHECK_FALSE(last_end_of(x.c())->by_person);
    CHECK(awaits_restart(x.c(), 0)); // A failure, whatever its exit code.
  }
}
