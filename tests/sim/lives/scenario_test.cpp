// Races that a supervisor must have decided, one by one.

#include "tests/sim/lives/scenario.hpp"

#include <csignal>

using namespace gantry;
using namespace std::chrono_literals;
using namespace gantry::sim;

TEST_CASE("a container runs, logs, exits and is removed", "[sim]") {
  for (bool hybrid : {false, true}) {
    sim::machine_options o;
    o.hybrid = hybrid;
    world w(o);
    const bool up = w.begin_life();
    INFO(w.why);
    REQUIRE(up);
    const auto made = w.must<v1::CreateReply>(
      create("a", {"work", "out=5000", "err=300", "after=20ms", "exit=7"}, true));
    INFO((made.ok() ? "" : made.why().text()));
    REQUIRE(made.ok());
    const auto end = w.must<v1::WaitReply>(on<v1::WaitRequest>("a"));
    REQUIRE(end.ok());
    CHECK(end->exit().exit_code() == 7);
    CHECK(end->exit().stdout_bytes() == 5000);
    CHECK(end->exit().stderr_bytes() == 300);
    at_the_end(w);
  }
}

TEST_CASE("a pause during an exec waits for it, and both are answered", "[sim]") {
  in_many_worlds([](world& w, sim::dice& d) {
    must_run(w, "a", {"work"});
    auto x = send<v1::ExecReply>(w, exec("a", {"work", "out=100", "after=1ms", "exit=5"}));
    w.pass(d.between(0us, 40ms));
    auto p = send<v1::PauseReply>(w, on<v1::PauseRequest>("a"));
    REQUIRE(w.until([&] { return x.answered() && p.answered(); }, 2min));
    CHECK((*x).ok());
    CHECK((*p).ok());
    CHECK(w.host.groups.frozen("/gantry/default/a"));
    REQUIRE(w.must<v1::ResumeReply>(on<v1::ResumeRequest>("a")).ok());
    auto wait = on<v1::WaitRequest>("a");
    wait.set_process("x");
    const auto end = w.must<v1::WaitReply>(wait);
    REQUIRE(end.ok());
    CHECK(end->exit().exit_code() == 5);
    CHECK(end->exit().stdout_bytes() == 100);
  });
}

TEST_CASE("a stop while paused ends the container", "[sim]") {
  in_many_worlds([](world& w, sim::dice& d) {
    const bool stubborn = d.chance(0.5);
    must_run(w, "a", {"work", stubborn ? "ignore-term" : "term=3"});
    REQUIRE(w.must<v1::PauseReply>(on<v1::PauseRequest>("a")).ok());
    auto r = on<v1::StopRequest>("a");
    r.set_timeout_ns(int64_t(nanoseconds(100ms).count()));
    const auto stopped = w.must<v1::StopReply>(r);
    INFO((stopped.ok() ? "" : stopped.why().text()));
    REQUIRE(stopped.ok());
    const auto& e = stopped->exit();
    const bool by_kill = e.signal() == SIGKILL;
    const bool by_term = e.has_exit_code() && e.exit_code() == 3;
    CHECK((by_kill || (by_term && !stubborn)));
    CHECK_FALSE(w.host.groups.populated("/gantry/default/a"));
  });
}

TEST_CASE("a delete during a create leaves nothing, and both are answered", "[sim]") {
  in_many_worlds([](world& w, sim::dice& d) {
    auto made = send<v1::CreateReply>(w, create("a", {"work"}, d.chance(0.5)));
    w.pass(d.between(0us, 50ms));
    auto r = on<v1::RemoveRequest>("a");
    r.set_force(true);
    auto gone = send<v1::RemoveReply>(w, r);
    REQUIRE(w.until([&] { return made.answered() && gone.answered(); }, 2min));
    INFO(((*gone).ok() ? "" : (*gone).why().text()));
    CHECK(((*gone).ok() || (*gone).why().code == ec::not_found));
    w.pass(1s);
    CHECK(w.list().containers_size() == 0);
  });
}

TEST_CASE("an exit between create and start makes the start fail, not the supervisor", "[sim]") {
  in_many_worlds([](world& w, sim::dice& d) {
    const auto made = w.must<v1::CreateReply>(create("a", {"work"}, false));
    REQUIRE(made.ok());
    auto init = w.host.find(made->pid());
    REQUIRE(init);
    const bool before = d.chance(0.5);
    if (before)
      w.host.signal(*init, SIGKILL);
    if (before)
      w.pass(d.between(0us, 5ms));
    auto started = send<v1::StartReply>(w, on<v1::StartRequest>("a"));
    w.pass(d.between(0us, 10ms));
    if (!before)
      w.host.signal(*init, SIGKILL);
    REQUIRE(w.until([&] { return started.answered(); }, 2min));
    // Depending on the moment it never ran, or ran and was killed; at_the_end checks which.
    w.pass(1s);
    const auto list = w.list();
    REQUIRE(list.containers_size() == 1);
    // A start that came after the end was seen began a new run.
    const auto& c = list.containers(0);
    CHECK(c.state() == ((*started).ok() && c.run() == 2 ? v1::RUNNING : v1::STOPPED));
  });
}

TEST_CASE("an exec while init dies is answered, and leaves no process behind", "[sim]") {
  in_many_worlds([](world& w, sim::dice& d) {
    must_run(w, "a", {"work", "after=" + std::to_string(d.below(40)) + "ms"});
    w.pass(d.between(0us, 30ms));
    auto x = send<v1::ExecReply>(w, exec("a", {"work", "out=50"}));
    REQUIRE(w.until([&] { return x.answered(); }, 2min));
    auto wait = on<v1::WaitRequest>("a");
    const auto end = w.must<v1::WaitReply>(wait);
    CHECK(end.ok());
    if ((*x).ok()) {
      wait.set_process("x");
      const auto killed = w.must<v1::WaitReply>(wait);
      REQUIRE(killed.ok());
      CHECK(killed->exit().signal() == SIGKILL);
    }
    CHECK_FALSE(w.host.groups.populated("/gantry/default/a"));
  });
}

TEST_CASE("a damaged place of a log is said, and its writer goes on", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work", "out=300000", "after=20ms"});
  w.kill();
  w.end_life();
  size_t damaged = 0;
  for (auto& slot : w.host.shelf_keeper.memory().logs())
    if (slot.serial != 0) {
      slot.at[slot.now & 1].block[0] = 1 << 20;
      ++damaged;
    }
  REQUIRE(damaged == 1);
  REQUIRE(w.begin_life());
  const auto end = w.must<v1::WaitReply>(on<v1::WaitRequest>("a"));
  REQUIRE(end.ok());
  CHECK(end->exit().exit_code() == 0);
  CHECK(end->exit().stdout_bytes() > 0);
  const auto events = w.events();
  CHECK(std::count_if(events.begin(), events.end(), [](const auto& e) {
          return e.type() == "log-gap" && e.container() == "a";
        }) == 1);
  remove_all(w);
  w.pass(30s);
  sim::findings out;
  check_nothing_left(w, out);
  for (const auto& f : out)
    FAIL_CHECK(f);
}

TEST_CASE("a process that SIGKILL does not end delays nobody else", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "stuck", {"work", "stuck"});
  must_run(w, "other", {"work"});
  auto r = on<v1::StopRequest>("stuck");
  r.set_timeout_ns(int64_t(nanoseconds(50ms).count()));
  auto stopped = send<v1::StopReply>(w, r);
  w.pass(200ms);
  CHECK_FALSE(stopped.answered());
  auto other = on<v1::StopRequest>("other");
  other.set_timeout_ns(1);
  CHECK(w.must<v1::StopReply>(other).ok());
  REQUIRE(w.until([&] { return stopped.answered(); }, 5min));
  REQUIRE_FALSE((*stopped).ok());
  CHECK((*stopped).why().code == ec::deadline_exceeded);
  w.pass(30s);
  std::string said;
  const auto list = w.list();
  for (const auto& c : list.containers())
    if (c.id() == "stuck")
      said = c.stuck();
  CHECK_FALSE(said.empty());
  w.host.release_stuck();
  at_the_end(w);
}

TEST_CASE("a kill is answered as done, in whichever moment of it the supervisor dies", "[sim]") {
  uint64_t cut_off = 0;
  for (uint64_t moment = 40; moment < 140; ++moment) {
    INFO("killed at call " << moment);
    world w({});
    REQUIRE(w.begin_life());
    must_run(w, "a", {"work"});
    auto kill = on<v1::KillRequest>("a");
    kill.set_request_id("kill-a");
    w.kill();
    w.end_life();
    bool answered = false;
    if (w.begin_life(moment)) {
      auto first = send<v1::KillReply>(w, kill);
      w.pass(20ms);
      answered = first.answered() && (*first).ok();
      w.end_life();
    }
    REQUIRE(w.begin_life());
    cut_off += !answered && count_events(w, "kill") == 1;
    w.pass(moment % 2 == 0 ? 0ms : 100ms); // Its end is settled by then, or is not.
    done<v1::KillReply>(w, kill);
    w.pass(100ms);
    CHECK(count_events(w, "kill") == 1);
    CHECK(count_events(w, "exit") == 1);
    at_the_end(w);
  }
  CHECK(cut_off > 0);
}
