// Starts that wait for other containers, under virtual time, with the supervisor killed at any
// moment.

#include <csignal>

#include "tests/sim/lives/waits.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

/// Every program in a container ends at once, while nobody is there to see it.
void all_die(world& w) {
  w.kill();
  for (const auto& [pid, p] : std::map<pid_t, process_ptr>(w.host.processes()))
    if (p != w.host.keeper_process() && p->ns != nullptr)
      w.host.signal(*p, SIGKILL);
  w.end_life();
  REQUIRE(w.begin_life());
}

} // namespace

TEST_CASE("a start waits until another container is healthy, whoever dies meanwhile", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, probed("db", "exit=0"));
    const auto wanted = after("web", "db", "healthy");
    auto first = send<v1::CreateReply>(w, wanted);
    w.pass(d.between(0ms, 900ms));
    if (d.chance(0.5))
      live_again(w);
    if (state_of(w, "web") == v1::WAITING) {
      const auto shown = w.list();
      REQUIRE(shown.containers_size() == 2);
      REQUIRE(shown.containers(1).waiting().unmet_size() == 1);
      CHECK(shown.containers(1).waiting().unmet(0).condition() == "db:healthy");
    }
    CHECK(seqs(w, "start", "web").empty());
    pass_with_kills(w, d, 3s, 100ms, 0.1);
    done<v1::CreateReply>(w, wanted); // The same request: it hears the first one's outcome.
    CHECK(state_of(w, "web") == v1::RUNNING);
    const auto starts = seqs(w, "start", "web");
    REQUIRE(starts.size() == 1);
    CHECK(seqs(w, "waiting", "web").size() == 1);
    const auto healthy = seqs(w, "health", "db");
    REQUIRE(healthy.size() == 1);
    CHECK(starts[0] > healthy[0]);
  });
}

namespace {

/// Asks until there is an answer that is not "not now", in however many lives that takes.
template <class Reply, class Request>
void through(world& w, const Request& req) {
  for (int tries = 0; tries < 10; ++tries) {
    if (!w.lives()) {
      w.end_life();
      REQUIRE(w.begin_life());
    }
    const auto got = w.ask<Reply>(req);
    if (got && got->ok())
      return;
    if (!got || !w.lives()) // The last words of one that is being killed.
      continue;
    INFO(got->why().text());
    const auto code = got->why().code;
    REQUIRE((code == ec::disk_full || code == ec::unavailable || code == ec::resource_exhausted));
    w.pass(1s); // One that has just come may lack its room on the disk.
  }
  FAIL("no answer in ten tries");
}

/// One container waits for another one's start. @param stopped Its wait is ended by a stop.
/// @returns how often the kernel was called.
uint64_t one_waits(uint64_t kill_at, bool stopped) {
  INFO("killed at call " << kill_at);
  world w({});
  (void)w.begin_life(kill_at);
  auto db = create("db", {"work", "term=0"}, false);
  db.set_request_id("make-db");
  auto go = on<v1::StartRequest>("db");
  go.set_request_id("start-db");
  auto stop = on<v1::StopRequest>("web");
  stop.set_request_id("stop-web");
  auto web = after("web", "db", "started");
  web.mutable_spec()->mutable_restart()->set_when("always");
  through<v1::CreateReply>(w, db);
  for (int tries = 0; tries < 10 && state_of(w, "web") != v1::WAITING; ++tries) {
    if (!w.lives()) {
      w.end_life();
      REQUIRE(w.begin_life());
    }
    send<v1::CreateReply>(w, web);
    w.until([&w] { return state_of(w, "web") == v1::WAITING; }, 5s);
  }
  if (stopped)
    through<v1::StopReply>(w, stop);
  through<v1::StartReply>(w, go);
  if (w.lives())
    w.until([&w] { return state_of(w, "web") == v1::RUNNING; }, 1s);
  const auto calls = w.calls();
  if (stopped) {
    through<v1::StopReply>(w, stop); // Revives it; the answer is the first one's.
    w.pass(10s);
    CHECK_FALSE(w.must<v1::CreateReply>(web)); // Who asked for the start is told.
    CHECK(state_of(w, "web") == v1::STOPPED);
    CHECK(seqs(w, "start", "web").empty());
  } else {
    through<v1::CreateReply>(w, web);
    const auto starts = seqs(w, "start", "web");
    REQUIRE(starts.size() == 1);
    CHECK(starts[0] > seqs(w, "start", "db").at(0));
    CHECK(seqs(w, "start-failed", "web").empty());
  }
  CHECK(seqs(w, "waiting", "web").size() == 1);
  at_the_end(w);
  return calls;
}

} // namespace

TEST_CASE("a supervisor that is killed at any moment of a wait loses nothing of it", "[sim]") {
  for (const bool stopped : {false, true}) {
    const auto calls = one_waits(0, stopped);
    REQUIRE(calls > 100);
    for (uint64_t at = 1; at <= calls; ++at)
      one_waits(at, stopped);
  }
}

TEST_CASE("a chain of containers starts in its order", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, create("a", {"work", "after=200ms", "exit=0"}, false));
    send<v1::CreateReply>(w, after("b", "a", "exited_ok"));
    w.pass(10ms);
    send<v1::CreateReply>(w, after("c", "b", "started"));
    w.pass(d.between(0ms, 500ms));
    if (d.chance(0.3))
      live_again(w);
    // A crash may have come before they were recorded: then they are asked for once more.
    send<v1::CreateReply>(w, after("b", "a", "exited_ok"));
    w.pass(10ms);
    send<v1::CreateReply>(w, after("c", "b", "started"));
    w.pass(1s);
    CHECK(state_of(w, "b") == v1::WAITING); // Nobody has started the first one.
    CHECK(state_of(w, "c") == v1::WAITING);
    done<v1::StartReply>(w, on<v1::StartRequest>("a"));
    pass_with_kills(w, d, 5s, 50ms, 0.05);
    CHECK(state_of(w, "c") == v1::RUNNING);
    const auto a = seqs(w, "exit", "a");
    const auto b = seqs(w, "start", "b");
    const auto c = seqs(w, "start", "c");
    REQUIRE((a.size() == 1 && b.size() == 1 && c.size() == 1));
    CHECK((a[0] < b[0] && b[0] < c[0]));
  });
}

TEST_CASE("a start fails at once when what it waits for can never be", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, create("job", {"work", "after=300ms", "exit=1"}, true));
    auto started = send<v1::CreateReply>(w, after("web", "job", "exited_ok"));
    w.pass(d.between(0ms, 250ms));
    const bool removed = d.chance(0.3);
    if (removed) {
      auto r = on<v1::RemoveRequest>("job");
      r.set_force(true);
      done<v1::RemoveReply>(w, r);
    }
    pass_with_kills(w, d, 2s, 100ms, 0.1);
    const auto again = w.must<v1::CreateReply>(after("web", "job", "exited_ok"));
    REQUIRE_FALSE(again);
    INFO(again.why().text());
    const auto& text = again.why().message;
    CHECK((removed ? text.find("does not exist") != std::string::npos
                       || text.find("is being removed") != std::string::npos
                   : text.find("exit code 1") != std::string::npos));
    CHECK(seqs(w, "start", "web").empty());
    const bool known = state_of(w, "web") != v1::STATE_UNSPECIFIED;
    CHECK((!known || state_of(w, "web") == v1::STOPPED));
    CHECK(seqs(w, "start-failed", "web").size() == known);
  });
}

TEST_CASE("a person ends the wait, and nothing undoes that", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, create("db", {"work", "term=0"}, false));
    auto wanted = after("web", "db", "started");
    wanted.mutable_spec()->mutable_restart()->set_when("always");
    send<v1::CreateReply>(w, wanted);
    wait_state(w, "web", v1::WAITING);
    if (d.chance(0.5))
      live_again(w);
    const auto how = d.below(3);
    if (how == 0) {
      done<v1::StopReply>(w, on<v1::StopRequest>("web"));
    } else if (how == 1) {
      done<v1::KillReply>(w, on<v1::KillRequest>("web"));
    } else {
      done<v1::RemoveReply>(w, on<v1::RemoveRequest>("web"));
    }
    if (d.chance(0.5))
      live_again(w);
    done<v1::StartReply>(w, on<v1::StartRequest>("db"));
    pass_with_kills(w, d, 10s, 500ms, 0.1);
    CHECK(seqs(w, "start", "web").empty());
    CHECK(state_of(w, "web") == (how == 2 ? v1::STATE_UNSPECIFIED : v1::STOPPED));
    CHECK_FALSE(w.must<v1::CreateReply>(wanted)); // Whoever asked for it is told.
    if (how == 2)
      return;
    done<v1::StartReply>(w, on<v1::StartRequest>("web")); // Now it need not wait.
    CHECK(seqs(w, "start", "web").size() == 1);
  });
}

TEST_CASE("a wait has a limit, by the clock on the wall", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, probed("db", "exit=1"));
    auto wanted = after("web", "db", "healthy");
    wanted.mutable_spec()->set_after_timeout_ns(ns_of(30s));
    send<v1::CreateReply>(w, wanted);
    w.pass(1s);
    pass_with_kills(w, d, 25s, 1s, 0.1);
    CHECK(state_of(w, "web") == v1::WAITING);
    w.pass(5s);
    CHECK(state_of(w, "web") == v1::STOPPED);
    const auto answer = w.must<v1::CreateReply>(wanted);
    REQUIRE_FALSE(answer);
    CHECK(answer.why().code == ec::deadline_exceeded);
    CHECK(answer.why().message.find("db:healthy: \"db\" is not healthy yet (health: unhealthy)")
          != std::string::npos);
  }, 15);
}

TEST_CASE("what all ended at once is started again in its order", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto db = probed("db", "exit=0");
    db.mutable_spec()->mutable_restart()->set_when("always");
    done<v1::CreateReply>(w, db);
    auto web = after("web", "db", "healthy");
    web.mutable_spec()->mutable_restart()->set_when("always");
    // A part of them is still waiting when that happens.
    web.mutable_spec()->mutable_restart()->set_delay_ns(ns_of(d.between(1ms, 300ms)));
    send<v1::CreateReply>(w, web);
    const bool early = d.chance(0.3);
    w.pass(early ? 500ms : 3s);
    CHECK(state_of(w, "web") == (early ? v1::WAITING : v1::RUNNING));
    all_die(w);
    pass_with_kills(w, d, 20s, 500ms, 0.03);
    wait_state(w, "web", v1::RUNNING);
    const auto healthy = seqs(w, "health", "db");
    const auto starts = seqs(w, "start", "web");
    REQUIRE(healthy.size() >= (early ? 1 : 2));
    REQUIRE(starts.size() == (early ? 1 : 2));
    CHECK(starts.back() > healthy.back());
  });
}

TEST_CASE("a wait that gantryd's own end cut off is its policy's again", "[sim]") {
  for (const bool has_policy : {true, false}) {
    world w({});
    REQUIRE(w.begin_life());
    done<v1::CreateReply>(w, create("db", {"work", "term=0"}, false));
    auto wanted = after("web", "db", "started");
    if (has_policy)
      wanted.mutable_spec()->mutable_restart()->set_when("on-failure");
    send<v1::CreateReply>(w, wanted);
    wait_state(w, "web", v1::WAITING);
    w.shared().ending = true; // What the terminator says before it stops all.
    done<v1::StopReply>(w, on<v1::StopRequest>("web"));
    CHECK(state_of(w, "web") == v1::STOPPED);
    w.end_life();
    REQUIRE(w.begin_life());
    w.pass(5s);
    CHECK(state_of(w, "web") == (has_policy ? v1::WAITING : v1::STOPPED));
    done<v1::StartReply>(w, on<v1::StartRequest>("db"));
    w.pass(5s);
    CHECK(seqs(w, "start", "web").size() == has_policy);
    at_the_end(w);
  }
}

TEST_CASE("a restart that fails for want of another one is tried again by its policy", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, create("db", {"work", "term=0"}, true));
    auto web = after("web", "db", "started");
    web.mutable_spec()->mutable_restart()->set_when("always");
    done<v1::CreateReply>(w, web);
    done<v1::StopReply>(w, on<v1::StopRequest>("db"));
    CHECK(state_of(w, "web") == v1::RUNNING);
    w.host.signal(*w.host.find(process_of(w, "web", "init").pid), SIGKILL);
    pass_with_kills(w, d, 20s, 500ms, 0.05);
    CHECK(seqs(w, "start", "web").size() == 1);
    const auto failed = seqs(w, "start-failed", "web").size();
    CHECK(failed >= 3);
    CHECK(failed <= 12); // With the policy's delay, not in a circle.
    done<v1::StartReply>(w, on<v1::StartRequest>("db"));
    pass_with_kills(w, d, 2min, 10s, 0.1);
    wait_state(w, "web", v1::RUNNING);
    CHECK(seqs(w, "start", "web").size() == 2);
  }, 15);
}

TEST_CASE("a restart of the one that others come after leaves these alone", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto db = create("db", {"work", "after=500ms", "exit=1"}, true);
  db.mutable_spec()->mutable_restart()->set_when("always");
  done<v1::CreateReply>(w, db);
  done<v1::CreateReply>(w, after("web", "db", "started"));
  w.pass(5s);
  CHECK(seqs(w, "start", "db").size() > 2);
  CHECK(seqs(w, "start", "web").size() == 1);
  CHECK(state_of(w, "web") == v1::RUNNING);
  // Its own restart waits only if the condition does not hold at that moment.
  const auto refused = w.must<v1::StartReply>(on<v1::StartRequest>("web"));
  CHECK_FALSE(refused);
  at_the_end(w);
}

TEST_CASE("a kill that a crash cut off ends a wait when it is asked again", "[sim]") {
  for (uint64_t moment = 40; moment < 140; ++moment) {
    INFO("killed at call " << moment);
    world w({});
    REQUIRE(w.begin_life());
    done<v1::CreateReply>(w, create("db", {"work", "term=0"}, false));
    send<v1::CreateReply>(w, after("web", "db", "started"));
    wait_state(w, "web", v1::WAITING);
    auto kill = on<v1::KillRequest>("web");
    kill.set_signal("TERM"); // On a host, what stands in for its program hears SIGKILL alone.
    kill.set_request_id("kill-web");
    w.kill();
    w.end_life();
    if (w.begin_life(moment)) {
      send<v1::KillReply>(w, kill);
      w.pass(20ms);
      w.end_life();
    }
    REQUIRE(w.begin_life());
    done<v1::KillReply>(w, kill);
    wait_state(w, "web", v1::STOPPED);
    done<v1::StartReply>(w, on<v1::StartRequest>("db"));
    w.pass(1s);
    CHECK(seqs(w, "start", "web").empty());
    CHECK(seqs(w, "kill", "web").size() == 1);
  }
}
