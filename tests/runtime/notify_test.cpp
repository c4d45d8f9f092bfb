// What a container says at its notify socket, and what that makes of its readiness.

#include <catch2/catch.hpp>

#include "runtime/bundle.hpp"
#include "runtime/health_messages.hpp"
#include "runtime/notify_policy.hpp"
#include "tests/runtime/world_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

constexpr int64_t ms = 1'000'000;
constexpr int64_t sec = 1000 * ms;

notify_policy watched() {
  return {.watchdog_ns = 10 * sec, .start_timeout_ns = 60 * sec, .extend_max_ns = 30 * sec};
}

v1::ContainerSpec spec_with_socket() {
  v1::ContainerSpec out;
  out.set_rootfs("/r");
  out.add_args("run");
  out.mutable_notify()->set_watchdog_ns(10 * sec);
  return out;
}

} // namespace

TEST_CASE("notify: each field is understood, and what is none is counted") {
  const auto m = parse_notify("READY=1\nSTATUS=serving 3\nWATCHDOG=1\nWATCHDOG_USEC=2000000\n"
                              "EXTEND_TIMEOUT_USEC=5000\nRELOADING=1\nSTOPPING=1\n");
  CHECK((m.ready && m.reloading && m.stopping && m.watchdog && !m.trigger));
  CHECK(m.status == "serving 3");
  CHECK(m.watchdog_ns == 2 * sec);
  CHECK(m.extend_ns == 5 * ms);
  CHECK(m.ignored == 0);
  CHECK(parse_notify("WATCHDOG=trigger").trigger);
  CHECK(parse_notify("BARRIER=1\nMONOTONIC_USEC=17") == notify_message{});
  CHECK(parse_notify("") == notify_message{});
  CHECK(parse_notify("\n\n") == notify_message{});
  CHECK(parse_notify("STATUS=").status == "");
  CHECK(parse_notify("STATUS=a\nSTATUS=b=c").status == "b=c");
  for (const char* text :
       {"READY=2", "READY", "=1", "ready=1", "READY=1 ", "MAINPID=7", "FDSTORE=1", "WATCHDOG=0",
        "WATCHDOG_USEC=1", "WATCHDOG_USEC=", "WATCHDOG_USEC=-1", "EXTEND_TIMEOUT_USEC=10s",
        "EXTEND_TIMEOUT_USEC=+1", "X_MINE=1"}) {
    INFO(text);
    auto none = parse_notify(text);
    CHECK(none.ignored == 1);
    none.ignored = 0;
    CHECK(none == notify_message{});
  }
}

TEST_CASE("notify: a status is text of a bounded length, a time that is endless is no number") {
  CHECK(parse_notify("STATUS=a\xff"
                     "b").status == "a\xef\xbf\xbd"
                                    "b");
  const auto m = parse_notify("STATUS=" + std::string(4000, 'x'));
  CHECK(m.status->size() <= max_notify_status);
  CHECK(m.status->ends_with("x..."));
  CHECK(*parse_notify("EXTEND_TIMEOUT_USEC=18446744073709551615").extend_ns > int64_t{1} << 62);
  CHECK(*parse_notify("EXTEND_TIMEOUT_USEC=99999999999999999999999").extend_ns > int64_t{1} << 62);
  CHECK(parse_notify("WATCHDOG_USEC=0").watchdog_ns == 0);
  CHECK(parse_notify(std::string("READY=1\0", 8)).ignored == 1);
}

TEST_CASE("notify: a start has its time, then the watchdog has, and each may be put off") {
  const auto p = watched();
  auto s = begin_notify(p, 100 * sec);
  CHECK(s.due_ns == 160 * sec);
  CHECK_FALSE(hear(p, s, parse_notify("WATCHDOG=1"), 110 * sec).alive); // Not before it is ready.
  CHECK(s.due_ns == 160 * sec);
  CHECK_FALSE(hear(p, s, parse_notify("EXTEND_TIMEOUT_USEC=20000000"), 110 * sec).put_off);
  CHECK(s.due_ns == 160 * sec); // It had as much already.
  CHECK(hear(p, s, parse_notify("EXTEND_TIMEOUT_USEC=20000000"), 150 * sec).put_off);
  CHECK(s.due_ns == 170 * sec);
  CHECK(hear(p, s, parse_notify("EXTEND_TIMEOUT_USEC=99999999999999999999"), 150 * sec).put_off);
  CHECK(s.due_ns == 190 * sec); // And no further.
  const auto step = hear(p, s, parse_notify("READY=1\nSTATUS=up"), 180 * sec);
  CHECK(step.what == "ready");
  CHECK((step.alive && step.told));
  CHECK(s.due_ns == 190 * sec);
  CHECK(hear(p, s, parse_notify("READY=1"), 181 * sec).what.empty());
  CHECK(hear(p, s, parse_notify("WATCHDOG=1"), 185 * sec).alive);
  CHECK(s.due_ns == 195 * sec);
  CHECK(hear(p, s, parse_notify("EXTEND_TIMEOUT_USEC=60000000"), 190 * sec).put_off);
  CHECK(s.due_ns == 225 * sec);
  CHECK(miss_deadline(p, s, 225 * sec) == "it has not said WATCHDOG=1 for 10 s; its status: up");
  CHECK(s.due_ns == 235 * sec);
  hear(p, s, parse_notify("WATCHDOG_USEC=500000"), 230 * sec);
  CHECK(s.due_ns == 230 * sec + 500 * ms);
  CHECK(miss_deadline(p, s, 231 * sec).starts_with("it has not said WATCHDOG=1 for 500 ms"));
  hear(p, s, parse_notify("WATCHDOG_USEC=0"), 231 * sec);
  CHECK(s.due_ns == 0);
  CHECK(s.datagrams == 10);
}

TEST_CASE("notify: a reload, a stop, a word too many") {
  const auto p = watched();
  auto s = begin_notify(p, 0);
  hear(p, s, parse_notify("READY=1"), 1 * sec);
  CHECK(hear(p, s, parse_notify("RELOADING=1"), 2 * sec).what == "reloading");
  CHECK((s.reloading && s.ready));
  CHECK(hear(p, s, parse_notify("READY=1"), 3 * sec).what == "reloaded");
  CHECK_FALSE(s.reloading);
  CHECK(hear(p, s, parse_notify("WATCHDOG=trigger"), 4 * sec).triggered);
  CHECK(hear(p, s, parse_notify("STOPPING=1"), 5 * sec).what == "stopping");
  CHECK(s.due_ns == 0); // No watchdog any more …
  CHECK_FALSE(hear(p, s, parse_notify("WATCHDOG=1\nWATCHDOG=trigger"), 6 * sec).triggered);
  s.due_ns = 7 * sec; // What somebody gives it to stop …
  s.limit_ns = 9 * sec;
  hear(p, s, parse_notify("STATUS=going\nSTOPPING=1"), 6 * sec);
  CHECK(s.due_ns == 7 * sec); // … begins once, …
  CHECK(hear(p, s, parse_notify("EXTEND_TIMEOUT_USEC=8000000"), 6 * sec).put_off);
  CHECK(s.due_ns == 9 * sec); // … and can be put off.
  begin_grace(p, s, 10 * sec, 10 * sec); // … but the time that a stop has.
  CHECK(s.due_ns == 20 * sec);
  CHECK_FALSE(hear(p, s, parse_notify("WATCHDOG=1\nREADY=1"), 11 * sec).alive);
  CHECK(hear(p, s, parse_notify("EXTEND_TIMEOUT_USEC=15000000"), 15 * sec).put_off);
  CHECK(s.due_ns == 30 * sec);
  hear(p, s, parse_notify("EXTEND_TIMEOUT_USEC=3600000000"), 29 * sec);
  CHECK(s.due_ns == 50 * sec);
}

TEST_CASE("notify: what feeds a watchdog is recorded now and then, which costs it nothing") {
  const auto p = watched();
  auto s = begin_notify(p, 0);
  CHECK(must_be_kept(s, 0));
  hear(p, s, parse_notify("READY=1"), 1 * sec);
  const auto kept = s.due_ns;
  hear(p, s, parse_notify("WATCHDOG=1"), 3 * sec);
  CHECK_FALSE(must_be_kept(s, kept));
  auto later = notify_state_of(p, kept_notify(s), 4 * sec);
  CHECK(later == s);
  later.due_ns = kept; // As a crash would find it.
  make_up_for(later);
  CHECK(later.due_ns >= s.due_ns);
  hear(p, s, parse_notify("WATCHDOG=1"), 3500 * ms);
  CHECK(must_be_kept(s, kept));
  auto paused = kept_notify(s);
  paused.set_due_ns(0);
  CHECK(notify_state_of(p, paused, 100 * sec).due_ns == 110 * sec);
}

TEST_CASE("notify: it is a probe that nobody asks, beside those that are asked") {
  auto spec = spec_with_socket();
  auto policy = health_policy_of(spec);
  REQUIRE(policy);
  auto which = notify_probe(*policy);
  REQUIRE(which);
  auto state = begin_health(*policy, 0);
  CHECK(state.status == health_status::starting);
  CHECK_FALSE(next_probe(*policy, state));
  CHECK_FALSE(hurry_probe(*policy, state, *which, 5));
  probe_result said;
  said.what = probe_result::label::passed;
  const auto change = end_probe(*policy, state, *which, said);
  REQUIRE(change);
  CHECK((change->to == health_status::healthy && change->ready));
  stop_being_ready(state);
  CHECK_FALSE(state.ready);

  spec.mutable_health()->add_probes()->add_args("check");
  policy = health_policy_of(spec);
  state = begin_health(*policy, 0);
  which = notify_probe(*policy);
  end_probe(*policy, state, *which, said);
  CHECK(state.status == health_status::starting); // The check has not passed …
  CHECK(state.ready);                             // … and it is the container that knows.
  said.what = probe_result::label::failed;
  end_probe(*policy, state, *which, said);
  CHECK(state.status == health_status::unhealthy);
  CHECK_FALSE(state.ready);
}

TEST_CASE("notify: a readiness probe and the container must agree") {
  auto spec = spec_with_socket();
  spec.mutable_health()->set_profile("kubernetes");
  auto* p = spec.mutable_health()->add_probes();
  p->set_role("readiness");
  p->add_args("check");
  const auto policy = health_policy_of(spec);
  REQUIRE(policy);
  auto state = begin_health(*policy, 0);
  probe_result passed;
  passed.what = probe_result::label::passed;
  end_probe(*policy, state, *notify_probe(*policy), passed);
  CHECK_FALSE(state.ready);
  end_probe(*policy, state, 0, passed);
  CHECK(state.ready);
}

TEST_CASE("notify: nobody asks for a probe of its kind, and bad numbers are refused") {
  for (auto* word : {"notify", "Notify"}) {
    CHECK_FALSE(parse_role(word));
    CHECK_FALSE(parse_kind(word));
  }
  auto bad_one = [](auto change) {
    auto spec = spec_with_socket();
    change(*spec.mutable_notify());
    return !notify_policy_of(spec) && !check_policies(spec);
  };
  CHECK(bad_one([](auto& n) { n.set_watchdog_ns(50 * ms); }));
  CHECK(bad_one([](auto& n) { n.set_watchdog_ns(-1); }));
  CHECK(bad_one([](auto& n) { n.set_start_timeout_ns(1000); }));
  CHECK(bad_one([](auto& n) { n.set_extend_max_ns(int64_t{48} * 3600 * sec); }));
  CHECK(bad_one([](auto& n) { n.set_heard("exec"); }));
  CHECK(check_policies(spec_with_socket()));
  CHECK_FALSE(*notify_policy_of(v1::ContainerSpec{}));
}

TEST_CASE("notify: the world knows whether it is ready, and forgets it with the run") {
  world w;
  scribe s;
  auto c = s.creating(true);
  c.mutable_creating()->mutable_spec()->mutable_notify();
  w.apply(c);
  w.apply(s.created());
  const auto& v = *w.find(web);
  CHECK(tells_readiness(v));
  CHECK_FALSE(is_ready(v));
  w.apply(s.started());
  CHECK_FALSE(is_ready(v));
  auto r = s.record();
  r.mutable_notified()->set_what("ready");
  r.mutable_notified()->set_ready(true);
  r.mutable_notified()->mutable_now()->set_status("up");
  r.mutable_notified()->mutable_now()->set_due_ns(7);
  w.apply(r);
  CHECK(is_ready(v));
  CHECK(w.summary(v).said() == "up");
  CHECK(w.summary(v).ready());
  REQUIRE(event_of(r));
  CHECK(event_of(r)->type() == "ready");
  CHECK(event_of(r)->details().at("status") == "up");
  world again;
  again.load(w.save());
  CHECK(is_ready(*again.find(web)));
  r.mutable_notified()->set_what("");
  CHECK_FALSE(event_of(r));
  auto paused = s.record();
  paused.mutable_paused();
  w.apply(paused);
  journal::HealthState kept;
  kept.ParseFromString(v.health);
  CHECK(kept.notify().due_ns() == 0);
  CHECK(is_ready(v));
  w.apply(s.died("init", 0));
  w.apply(s.exited("init", 0));
  CHECK_FALSE(is_ready(v));
}
