// Restart policies under virtual time, with the supervisor killed at any moment.

#include <csignal>

#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

v1::CreateRequest with_policy(const std::string& when, const std::vector<std::string>& args,
                              uint32_t retries = 0) {
  auto r = create("a", args, true);
  auto* p = r.mutable_spec()->mutable_restart();
  p->set_when(when);
  p->set_retries(retries);
  return r;
}

v1::Container shown(world& w) {
  const auto listed = w.list();
  REQUIRE(listed.containers_size() == 1);
  return listed.containers(0);
}

void wait_state(world& w, v1::State wanted, nanoseconds limit = 5min) {
  const auto state = [&w] { return w.shared().ledger.now().find({"default", "a"})->state; };
  INFO("state " << v1::State_Name(state()) << ", wanted " << v1::State_Name(wanted));
  REQUIRE(w.until([&] { return state() == wanted; }, limit));
}

/// So much is in the log that clients read.
size_t logged_bytes(world& w) {
  v1::ReadLogRequest req;
  *req.mutable_ref() = on<v1::InspectRequest>("a").ref();
  auto reader = w.door().read_log(req);
  REQUIRE(reader);
  size_t out = 0;
  for (bool more = true; more;) {
    std::optional<result<std::vector<v1::LogChunk>>> got;
    (*reader)->next(1u << 16, [&got](result<std::vector<v1::LogChunk>> x) { got = std::move(x); });
    REQUIRE(w.until([&] { return got.has_value(); }));
    REQUIRE(got->ok());
    for (const auto& chunk : **got)
      out += chunk.data().size();
    more = !(*got)->empty();
  }
  return out;
}

v1::StopRequest stop(nanoseconds grace = 1s) {
  auto r = on<v1::StopRequest>("a");
  r.set_timeout_ns(ns_of(grace));
  return r;
}

} // namespace

TEST_CASE("a program that fails is started again as often as its policy says", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, with_policy("on-failure", {"work", "after=20ms", "exit=3"}, 3));
    pass_with_kills(w, d, 10s, 100ms, 0.1);
    wait_state(w, v1::DEAD);
    CHECK(count_events(w, "start") == 4);
    CHECK(count_events(w, "exit", "init") == 4);
    CHECK(count_events(w, "restart-scheduled") == 3);
    CHECK(count_events(w, "dead") == 1);
    const auto c = shown(w);
    CHECK(c.run() == 4);
    CHECK(c.restart().total() == 3);
    CHECK(c.restart().reason() == "exit code 3, after 3 restarts in a row");
    pass_with_kills(w, d, 3min, 30s, 0.5); // Dead it stays.
    CHECK(shown(w).state() == v1::DEAD);
    CHECK(count_events(w, "start") == 4);
  });
}

TEST_CASE("hours of back-off", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto r = with_policy("always", {"work", "after=1ms"});
  r.mutable_spec()->mutable_restart()->set_jitter(0);
  done<v1::CreateReply>(w, r);
  w.pass(1min);
  CHECK(shown(w).restart().attempt() == 10);
  live_again(w);
  w.pass(1h);
  const auto c = shown(w);
  CHECK(c.restart().attempt() >= 65);
  CHECK(c.restart().attempt() <= 71);
  CHECK(c.restart().total() == c.restart().attempt());
  std::vector<int64_t> delays;
  for (const auto& e : w.events())
    if (e.type() == "restart-scheduled")
      delays.push_back(std::stoll(e.details().at("delay_ns")));
  REQUIRE(delays.size() >= 12);
  CHECK(delays[0] == ns_of(100ms));
  CHECK(delays[1] == ns_of(200ms));
  CHECK(delays[9] == ns_of(51200ms));
  CHECK(delays.back() == ns_of(1min));
  at_the_end(w);
}

TEST_CASE("a stop is never undone, whenever it comes and whoever dies", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    const bool restless = d.chance(0.5); // Else it runs until it is stopped.
    std::vector<std::string> args{"work", "term=0"};
    if (restless)
      args.emplace_back("after=30ms");
    done<v1::CreateReply>(
      w, with_policy(d.chance(0.5) ? "always" : "unless-stopped", args));
    w.pass(d.between(0ms, 900ms));
    if (d.chance(0.3))
      live_again(w);
    auto stopped = send<v1::StopReply>(w, stop());
    if (d.chance(0.5)) {
      w.pass(d.between(0ms, 2ms));
      live_again(w); // It may not have been recorded: then it is asked for once more.
      done<v1::StopReply>(w, stop());
    } else {
      REQUIRE(w.until([&] { return stopped.answered(); }));
      REQUIRE((*stopped).ok());
    }
    const auto starts = count_events(w, "start");
    pass_with_kills(w, d, 5min, 30s, 0.4);
    CHECK(shown(w).state() == v1::STOPPED);
    CHECK(count_events(w, "start") == starts);
    // Started by a person, it is its policy's again, from the first delay on.
    done<v1::StartReply>(w, on<v1::StartRequest>("a"));
    if (restless) {
      w.pass(2s);
      CHECK(count_events(w, "start") > starts + 1);
      CHECK(shown(w).restart().attempt() <= 5);
      done<v1::StopReply>(w, stop());
    }
  });
}

TEST_CASE("a kill by a person is final with SIGKILL or the stop signal only", "[sim]") {
  // With USR2 as its stop signal, TERM is one like others, upon which it happens to end.
  for (const auto& [signal, final] :
       std::vector<std::pair<std::string, bool>>{{"KILL", true}, {"TERM", true}, {"15", false}}) {
    INFO(signal);
    world w({});
    REQUIRE(w.begin_life());
    auto r = with_policy("always", {"work"});
    r.mutable_spec()->set_stop_signal(final ? "" : "USR2");
    done<v1::CreateReply>(w, r);
    auto kill = on<v1::KillRequest>("a");
    kill.set_signal(signal);
    done<v1::KillReply>(w, kill);
    w.pass(5s);
    CHECK(shown(w).state() == (final ? v1::STOPPED : v1::RUNNING));
    CHECK(count_events(w, "start") == (final ? 1 : 2));
    live_again(w);
    w.pass(5s);
    CHECK(count_events(w, "start") == (final ? 1 : 2));
    at_the_end(w);
  }
}

TEST_CASE("what meets a container that waits for its restart", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto r = with_policy("always", {"work", "after=1ms", "exit=7"});
  r.mutable_spec()->mutable_restart()->set_delay_ns(ns_of(1h));
  done<v1::CreateReply>(w, r);
  wait_state(w, v1::RESTARTING);
  const auto refused = [&w](auto reply, auto request) {
    const auto x = w.must<decltype(reply)>(request);
    return !x && x.why().code == ec::wrong_state
           && x.why().message.find("it waits for its restart") != std::string::npos;
  };
  CHECK(refused(v1::RemoveReply{}, on<v1::RemoveRequest>("a")));
  CHECK(refused(v1::KillReply{}, on<v1::KillRequest>("a")));
  CHECK(refused(v1::PauseReply{}, on<v1::PauseRequest>("a")));
  CHECK(refused(v1::ResumeReply{}, on<v1::ResumeRequest>("a")));
  CHECK(refused(v1::ExecReply{}, exec("a", {"work"})));
  CHECK(done<v1::WaitReply>(w, wait_for("a")).exit().exit_code() == 7);
  live_again(w);
  CHECK(shown(w).state() == v1::RESTARTING);
  CHECK(shown(w).restart().next_ns() > 0);
  done<v1::StartReply>(w, on<v1::StartRequest>("a")); // Now, not in an hour.
  wait_state(w, v1::RESTARTING);
  CHECK(count_events(w, "start") == 2);
  CHECK(done<v1::StopReply>(w, stop()).exit().exit_code() == 7);
  CHECK(shown(w).state() == v1::STOPPED);
  CHECK(count_events(w, "restart-cancelled") == 1);
  done<v1::RemoveReply>(w, on<v1::RemoveRequest>("a"));
  at_the_end(w);
}

TEST_CASE("a delay goes on while no supervisor lives", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto r = with_policy("always", {"work", "after=1ms"});
  r.mutable_spec()->mutable_restart()->set_delay_ns(ns_of(10s));
  r.mutable_spec()->mutable_restart()->set_jitter(0);
  done<v1::CreateReply>(w, r);
  wait_state(w, v1::RESTARTING);
  w.pass(4s);
  live_again(w);
  w.pass(5s);
  CHECK(count_events(w, "start") == 1);
  w.pass(2s);
  CHECK(count_events(w, "start") == 2);
  at_the_end(w);
}

TEST_CASE("a dead one is cleared by a stop or a start", "[sim]") {
  for (const bool by_start : {true, false}) {
    world w({});
    REQUIRE(w.begin_life());
    done<v1::CreateReply>(w, with_policy("on-failure", {"work", "after=1ms", "exit=1"}, 1));
    wait_state(w, v1::DEAD);
    live_again(w);
    CHECK(shown(w).state() == v1::DEAD);
    if (by_start) {
      done<v1::StartReply>(w, on<v1::StartRequest>("a"));
      wait_state(w, v1::DEAD); // It begins anew, with one restart.
      CHECK(count_events(w, "start") == 4);
      done<v1::RemoveReply>(w, on<v1::RemoveRequest>("a"));
    } else {
      done<v1::StopReply>(w, stop());
      CHECK(shown(w).state() == v1::STOPPED);
      live_again(w);
      w.pass(1min);
      CHECK(shown(w).state() == v1::STOPPED);
      CHECK(count_events(w, "start") == 2);
    }
    at_the_end(w);
  }
}

TEST_CASE("rules, a window, and an end without a failure", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_policy("on-failure", {"work", "after=1ms"}));
  w.pass(1min);
  CHECK(shown(w).state() == v1::STOPPED);
  remove_all(w);
  auto rule = with_policy("always", {"work", "after=1ms", "sig=11"});
  rule.mutable_spec()->mutable_restart()->add_rules("signal=SEGV:dead");
  done<v1::CreateReply>(w, rule);
  wait_state(w, v1::DEAD);
  CHECK(shown(w).restart().reason() == "SIGSEGV: a rule gives it up");
  remove_all(w);
  auto oom = with_policy("always", {"work", "after=1ms", "oom"});
  oom.mutable_spec()->mutable_restart()->add_rules("oom:stay");
  done<v1::CreateReply>(w, oom);
  w.pass(1min);
  CHECK(shown(w).state() == v1::STOPPED);
  CHECK(shown(w).exit().oom());
  remove_all(w);
  auto window = with_policy("always", {"work", "after=1ms"});
  window.mutable_spec()->mutable_restart()->set_attempts(4);
  window.mutable_spec()->mutable_restart()->set_window_ns(ns_of(1min));
  done<v1::CreateReply>(w, window);
  wait_state(w, v1::DEAD);
  CHECK(shown(w).restart().reason() == "exit code 0, after 4 restarts within 60 s");
  at_the_end(w);
}

TEST_CASE("what a supervisor stopped with itself is started again with the next one", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_policy("unless-stopped", {"work", "term=0"}));
  w.shared().ending = true; // What the terminator says before it stops all.
  done<v1::StopReply>(w, stop());
  w.pass(1min);
  CHECK(shown(w).state() == v1::STOPPED);
  w.end_life();
  REQUIRE(w.begin_life());
  w.pass(1s);
  CHECK(shown(w).state() == v1::RUNNING);
  CHECK(count_events(w, "start") == 2);
  at_the_end(w);
}

TEST_CASE("the log goes on over restarts by the policy, whenever the supervisor dies", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(
      w, with_policy("on-failure", {"work", "after=20ms", "exit=3", "out=700", "err=90"}, 4));
    const auto serial = process_of(w, "a", "init").serial;
    for (int i = 0; i < 60; ++i) {
      w.pass(d.between(1ms, 90ms));
      if (d.chance(0.15))
        live_again(w);
    }
    wait_state(w, v1::DEAD);
    CHECK(process_of(w, "a", "init").serial == serial);
    uint64_t written = 0;
    for (const auto& e : w.events())
      if (e.type() == "exit") {
        CHECK(e.exit().stdout_bytes() == 700); // Of its own run.
        written += e.exit().stdout_bytes() + e.exit().stderr_bytes();
      }
    CHECK(written == 5 * 790);
    CHECK(logged_bytes(w) == written);
    done<v1::StartReply>(w, on<v1::StartRequest>("a")); // A person's start begins a new one.
    CHECK(process_of(w, "a", "init").serial != serial);
  }, 20);
}

TEST_CASE("a run that takes too long is stopped, and that is a failure", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = with_policy("on-failure", {"work", "term=0"}, 2);
    r.mutable_spec()->set_max_run_ns(ns_of(3s));
    done<v1::CreateReply>(w, r);
    w.pass(d.between(0ms, 2900ms));
    CHECK(shown(w).state() == v1::RUNNING);
    if (d.chance(0.5))
      live_again(w);
    if (d.chance(0.3)) {
      done<v1::PauseReply>(w, on<v1::PauseRequest>("a")); // The time goes on.
      w.pass(1s);
    }
    pass_with_kills(w, d, 12s, 300ms, 0.05);
    wait_state(w, v1::DEAD);
    CHECK(count_events(w, "start") == 3);
    CHECK(shown(w).restart().reason() == "it ran as long as it may, after 2 restarts in a row");
    for (const auto& e : w.events())
      if (e.type() == "kill")
        CHECK(e.details().at("reason") == "max-run-time");
  }, 15);
}

TEST_CASE("an OOM policy ends all, restarts or stops it", "[sim]") {
  for (const std::string policy : {"report", "kill_group", "restart", "stop"}) {
    INFO(policy);
    world w({});
    REQUIRE(w.begin_life());
    auto r = create("a", {"work", "term=0"}, true);
    r.mutable_spec()->set_oom_policy(policy);
    done<v1::CreateReply>(w, r);
    done<v1::ExecReply>(w, exec("a", {"work", "after=100ms", "oom"}));
    w.pass(80ms);
    if (policy == "restart")
      live_again(w); // What the records say of the policy holds.
    w.pass(4s);
    CHECK(count_events(w, "oom") == 1);
    const auto c = shown(w);
    CHECK(c.state()
          == (policy == "report" || policy == "restart" ? v1::RUNNING : v1::STOPPED));
    CHECK(count_events(w, "start") == (policy == "restart" ? 2 : 1));
    if (policy == "kill_group")
      CHECK(c.exit().signal() == SIGKILL);
    at_the_end(w);
  }
}
