#include "runtime/health_policy.hpp"

#include <catch2/catch.hpp>

using namespace gantry;
using namespace gantry::runtime;

namespace {

using label = probe_result::label;
using status = health_status;

constexpr int64_t ms = 1'000'000;
constexpr int64_t sec = 1000 * ms;

/// A container under a policy, in a time of its own. Each run of a probe takes `cost`.
struct patient {
  health_policy policy;
  int64_t now = 1000 * sec;
  int64_t cost = 100 * ms;
  health_state state = begin_health(policy, now);
  std::vector<health_change> changes = {};
  std::vector<int64_t> begins = {}; ///< After the start.

  /// Goes to the next run of a probe and ends it so. @returns which it was.
  size_t run(label what, int code) {
    const auto next = next_probe(policy, state);
    REQUIRE(next);
    now = std::max(now, *next);
    const auto which = take_due_probe(policy, state, now);
    REQUIRE(which);
    probe_result r;
    r.what = what;
    r.exit_code = code;
    r.began_ns = now;
    begins.push_back(now - state.started_ns);
    now += cost;
    r.ended_ns = now;
    if (auto change = end_probe(policy, state, *which, r))
      changes.push_back(*change);
    return *which;
  }
  size_t exits(int code) { return run(code == 0 ? label::passed : label::failed, code); }
  [[nodiscard]] const probe_result& last(size_t which = 0) const {
    return state.probes[which].results.back();
  }
};

probe asking(health_profile profile, probe_role role) {
  auto p = default_probe(profile, role);
  p.question.args = {"/bin/check"};
  return p;
}

health_policy docker(health_profile profile) {
  health_policy out;
  out.profile = profile;
  out.probes.push_back(asking(profile, probe_role::check));
  return out;
}

health_policy kubernetes(std::initializer_list<probe_role> roles) {
  health_policy out;
  out.profile = health_profile::kubernetes;
  for (auto role : roles)
    out.probes.push_back(asking(out.profile, role));
  return out;
}

constexpr auto old_docker = health_profile::docker_2016;
constexpr auto new_docker = health_profile::docker_current;

} // namespace

TEST_CASE("health: docker-2016 as it was told in 2016") {
  patient p{docker(old_docker)};
  CHECK(p.state.status == status::starting);
  CHECK(p.policy.probes[0].interval_ns == 30 * sec);
  CHECK(p.policy.probes[0].timeout_ns == 30 * sec);
  CHECK(p.policy.probes[0].failures == 1);
  CHECK(p.policy.history == 5);
  p.exits(2); // Still starting.
  CHECK(p.begins[0] == 30 * sec); // One interval after the start.
  CHECK(p.state.status == status::starting);
  CHECK(p.last().what == label::starting);
  p.exits(0);
  CHECK(p.begins[1] == p.begins[0] + p.cost + 30 * sec); // After the end of the one before.
  CHECK(p.state.status == status::healthy);
  p.exits(2); // Not starting any more: a failure.
  CHECK(p.state.status == status::unhealthy);
  p.exits(0); // One pass is enough, whatever it was.
  CHECK(p.state.status == status::healthy);
  p.exits(1);
  CHECK(p.state.status == status::unhealthy);
  REQUIRE(p.changes.size() == 4);
  CHECK(p.changes[0].from == status::starting);
  CHECK(p.changes[0].to == status::healthy);
  for (int i = 0; i < 3; ++i)
    p.exits(1);
  CHECK(p.changes.size() == 4); // Only changes are told.
  CHECK(p.state.probes[0].failures == 4);
  CHECK(p.state.probes[0].results.size() == 5); // The last five.
}

TEST_CASE("health: docker-current counts three failures, and any code but 0 is one") {
  patient p{docker(new_docker)};
  p.exits(2);
  CHECK(p.last().what == label::failed);
  p.exits(1);
  CHECK(p.state.status == status::starting);
  p.run(label::timeout, -1);
  CHECK(p.state.status == status::unhealthy);
  p.exits(0);
  CHECK(p.state.status == status::healthy);
  p.exits(126);
  p.exits(127);
  p.exits(0); // The streak is broken.
  p.exits(1);
  p.exits(1);
  CHECK(p.state.status == status::healthy);
  CHECK(p.state.probes[0].failures == 2);
  p.exits(1);
  CHECK(p.state.status == status::unhealthy);
}

TEST_CASE("health: a start period forgives, and asks more often while it starts") {
  auto policy = docker(new_docker);
  policy.probes[0].start_period_ns = 12 * sec;
  patient p{policy};
  for (int i = 0; i < 2; ++i) {
    p.exits(1);
    CHECK(p.last().what == label::slow_start);
    CHECK(p.state.probes[0].failures == 0);
  }
  CHECK(p.begins == std::vector<int64_t>{5 * sec, 10 * sec + p.cost});
  p.exits(1); // Began after the period.
  CHECK(p.begins[2] == 15 * sec + 2 * p.cost);
  CHECK(p.last().what == label::failed);
  CHECK(p.state.probes[0].failures == 1);
  p.exits(1);
  CHECK(p.begins[3] == p.begins[2] + p.cost + 30 * sec);

  patient early{policy};
  early.exits(0); // The first success ends the start.
  CHECK(early.state.status == status::healthy);
  early.exits(1);
  CHECK(early.begins[1] == 5 * sec + early.cost + 30 * sec);
  CHECK(early.last().what == label::failed); // Within the period, but it has started.
}

TEST_CASE("health: kubernetes asks the startup probe alone until it has passed") {
  patient p{kubernetes({probe_role::startup, probe_role::readiness, probe_role::liveness})};
  CHECK(p.exits(1) == 0);
  CHECK(p.begins[0] == 0); // At once, without an initial delay.
  CHECK(p.exits(1) == 0);
  CHECK(p.begins[1] == 10 * sec); // From begin to begin.
  CHECK(p.exits(0) == 0);
  CHECK(p.state.status == status::starting);
  CHECK(p.exits(0) == 1); // Readiness, at once.
  CHECK(p.begins[3] == 20 * sec + p.cost);
  CHECK(p.state.ready);
  CHECK(p.exits(0) == 2);
  CHECK(p.state.status == status::healthy);
  for (int i = 0; i < 20; ++i)
    CHECK(p.exits(0) != 0); // Never again.
}

TEST_CASE("health: kubernetes: a failed startup or liveness is ill, a failed readiness is not") {
  patient never{kubernetes({probe_role::startup, probe_role::liveness})};
  for (int i = 0; i < 3; ++i)
    never.exits(1);
  CHECK(never.state.status == status::unhealthy);

  patient p{kubernetes({probe_role::readiness, probe_role::liveness})};
  auto both = [&p](int ready, int alive) {
    for (int i = 0; i < 2; ++i) {
      const auto next = p.policy.probes[p.state.probes[0].next_ns <= p.state.probes[1].next_ns
                                          ? 0 : 1].role;
      p.exits(next == probe_role::readiness ? ready : alive);
    }
  };
  both(0, 0);
  CHECK(p.state.status == status::healthy);
  CHECK(p.state.ready);
  for (int i = 0; i < 3; ++i)
    both(1, 0);
  CHECK(p.state.status == status::healthy);
  CHECK_FALSE(p.state.ready);
  CHECK(p.changes.back().was_ready);
  CHECK_FALSE(p.changes.back().ready);
  both(0, 0);
  CHECK(p.state.ready);
  for (int i = 0; i < 3; ++i)
    both(0, 1);
  CHECK(p.state.status == status::unhealthy);
  both(0, 0);
  CHECK(p.state.status == status::healthy);
}

TEST_CASE("health: an initial delay, a period that is missed, and a success threshold") {
  auto policy = kubernetes({probe_role::readiness});
  policy.probes[0].initial_delay_ns = 7 * sec;
  policy.probes[0].successes = 2;
  policy.probes[0].interval_ns = sec;
  patient p{policy};
  p.exits(0);
  CHECK(p.begins[0] == 7 * sec);
  CHECK_FALSE(p.state.ready);
  p.cost = 2500 * ms;
  p.exits(0);
  CHECK(p.begins[1] == 8 * sec);
  CHECK(p.state.ready);
  p.exits(0); // Late: at once, never two at a time.
  CHECK(p.begins[2] == 10500 * ms);
}

TEST_CASE("health: one of a kind at a time, and milliseconds") {
  auto policy = docker(new_docker);
  policy.probes[0].interval_ns = 5 * ms;
  patient p{policy};
  p.cost = ms;
  for (int i = 0; i < 1000; ++i)
    p.exits(0);
  CHECK(p.begins.back() == 5 * ms + 999 * 6 * ms);
  const auto next = next_probe(p.policy, p.state);
  REQUIRE(next);
  REQUIRE(take_due_probe(p.policy, p.state, *next) == size_t{0});
  CHECK_FALSE(next_probe(p.policy, p.state));
  CHECK_FALSE(take_due_probe(p.policy, p.state, *next + 1000 * sec));
  CHECK_FALSE(hurry_probe(p.policy, p.state, 0, *next));
}

TEST_CASE("health: frozen while paused; the timer starts anew") {
  patient p{docker(old_docker)};
  p.exits(1);
  const auto before = p.state;
  p.now += 20 * sec;
  freeze_health(p.state);
  CHECK_FALSE(next_probe(p.policy, p.state));
  CHECK_FALSE(hurry_probe(p.policy, p.state, 0, p.now));
  p.now += 1000 * sec;
  CHECK_FALSE(take_due_probe(p.policy, p.state, p.now));
  thaw_health(p.policy, p.state, p.now);
  CHECK(next_probe(p.policy, p.state) == p.now + 30 * sec);
  CHECK(p.state.status == before.status);
  CHECK(p.state.probes[0].failures == before.probes[0].failures);
  CHECK(p.state.probes[0].results == before.probes[0].results);
}

TEST_CASE("health: a restart begins anew") {
  patient p{docker(old_docker)};
  p.exits(1);
  p.state = begin_health(p.policy, p.now);
  CHECK(p.state.status == status::starting);
  CHECK(p.state.probes[0].failures == 0);
  CHECK(next_probe(p.policy, p.state) == p.now + 30 * sec);
}

TEST_CASE("health: on demand a probe runs at once") {
  patient p{docker(new_docker)};
  CHECK(hurry_probe(p.policy, p.state, 0, p.now));
  p.exits(0);
  CHECK(p.begins[0] == 0);
  CHECK(p.state.status == status::healthy);
  CHECK_FALSE(hurry_probe(p.policy, p.state, 1, p.now));
  patient k{kubernetes({probe_role::startup, probe_role::liveness})};
  CHECK_FALSE(hurry_probe(k.policy, k.state, 1, k.now)); // The startup probe comes first.
}

TEST_CASE("health: without probes there is none") {
  patient p{health_policy{}};
  CHECK(p.state.status == status::none);
  CHECK_FALSE(next_probe(p.policy, p.state));
  CHECK(check_health(p.policy));
}

TEST_CASE("health: a failure for want of CPU time counts, or not") {
  auto policy = docker(old_docker);
  patient strict{policy};
  strict.run(label::throttled, -1);
  CHECK(strict.state.status == status::unhealthy);
  policy.ignore_throttled = true;
  patient mild{policy};
  for (int i = 0; i < 10; ++i)
    mild.run(label::throttled, -1);
  CHECK(mild.state.status == status::starting);
  CHECK(mild.last().what == label::throttled);
  mild.exits(1);
  CHECK(mild.state.status == status::unhealthy);
}

TEST_CASE("health: what could not be asked says nothing") {
  patient p{docker(old_docker)};
  const auto next = next_probe(p.policy, p.state);
  REQUIRE(next);
  REQUIRE(take_due_probe(p.policy, p.state, *next));
  drop_probe(p.policy, p.state, 0, *next + sec);
  CHECK(p.state.status == status::starting);
  CHECK(next_probe(p.policy, p.state) == *next + 31 * sec);
}

TEST_CASE("health: a changed policy keeps what is known") {
  patient p{docker(new_docker)};
  p.exits(0);
  p.exits(1);
  p.exits(1);
  auto other = p.policy;
  other.probes[0].interval_ns = sec;
  other.history = 2;
  change_health(p.policy, other, p.state, p.now);
  p.policy = other;
  CHECK(p.state.status == status::healthy);
  CHECK(p.state.probes[0].failures == 2);
  CHECK(p.state.probes[0].results.size() == 2);
  CHECK(*next_probe(p.policy, p.state) <= p.now + sec);
  p.exits(1);
  CHECK(p.state.status == status::unhealthy);
  change_health(p.policy, health_policy{}, p.state, p.now);
  CHECK(p.state.status == status::none);
  p.policy = {};
  change_health(p.policy, docker(old_docker), p.state, p.now);
  CHECK(p.state.status == status::starting);
}

TEST_CASE("health: what runs when its policy changes is asked again once that is over") {
  patient p{docker(new_docker)};
  p.now = *next_probe(p.policy, p.state);
  REQUIRE(take_due_probe(p.policy, p.state, p.now));
  auto other = p.policy;
  other.probes[0].interval_ns = 3600 * sec;
  change_health(p.policy, other, p.state, p.now);
  CHECK_FALSE(p.state.probes[0].runs);
  const auto next = *next_probe(other, p.state) - p.now;
  CHECK(next > p.policy.probes[0].timeout_ns);
  CHECK(next < p.policy.probes[0].timeout_ns + sec);
}

TEST_CASE("health: a step of the ladder is due when it falls ill, and while it stays so") {
  auto policy = docker(new_docker);
  policy.probes[0].failures = 2;
  policy.on_unhealthy = *parse_ladder("signal=USR1,restart");
  patient p{policy};
  const auto acted = [&p] { // As the container does.
    p.state.acts = false;
    ++p.state.actions;
  };
  p.exits(1);
  CHECK_FALSE(p.state.acts);
  p.exits(1);
  CHECK(p.state.acts);
  acted();
  p.exits(1);
  CHECK_FALSE(p.state.acts); // As many failures again …
  p.exits(1);
  CHECK(p.state.acts); // … and the next step's turn comes.
  acted();
  p.exits(1);
  p.exits(1);
  CHECK_FALSE(p.state.acts); // There is no further one.
  p.exits(0);
  CHECK(p.state.status == status::healthy);
  p.exits(1);
  p.exits(1);
  CHECK(p.state.acts); // It fell ill again: the last step.
  CHECK(p.state.actions == 2);
  p.exits(0);
  CHECK_FALSE(p.state.acts); // Well again before it was done.
  p.now += policy.on_unhealthy.reset_after_ns;
  p.exits(0);
  p.exits(1);
  p.exits(1);
  CHECK(p.state.acts);
  CHECK(p.state.actions == 0); // It was well for long.
}
