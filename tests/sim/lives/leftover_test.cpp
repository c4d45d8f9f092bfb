// What is left of a container, a process or a command: each such thing has its end.

#include <algorithm>
#include <csignal>

#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

TEST_CASE("an output that outlives its process is logged to its end", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    must_run(w, "a", {"work"});
    done<v1::ExecReply>(w, exec("a", {"work", "child", "stay=400ms", "late=3000", "out=500",
                                      "after=5ms", "exit=3"}));
    const auto end = done<v1::WaitReply>(w, wait_for("a", "x"));
    CHECK(end.exit().io_open());
    CHECK(end.exit().exit_code() == 3);
    CHECK(process_of(w, "a", "x").io_open());
    if (d.chance(0.7)) {
      w.pass(d.between(0ms, 450ms)); // Before, in the middle of, or behind the late words.
      live_again(w);
    }
    w.pass(1s);
    const auto p = process_of(w, "a", "x");
    CHECK_FALSE(p.io_open());
    CHECK(p.output_bytes[0] == 3500);
    CHECK(p.exit->SerializeAsString() == end.exit().SerializeAsString());
    CHECK(count_events(w, "exit", "x") == 1);
    CHECK(count_events(w, "output-closed", "x") == 1);
    io::log_totals t;
    CHECK_FALSE(io::totals_in_arena(w.host.shelf_keeper.memory(), p.serial, t));
  });
}

TEST_CASE("a container is unknown while nobody can tell whether its init lives", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    must_run(w, "a", {"work"});
    w.host.options.faults.no_pidfd = 1;
    live_again(w);
    w.pass(1s);
    auto list = w.list();
    REQUIRE(list.containers_size() == 1);
    CHECK(list.containers(0).state() == v1::UNKNOWN);
    CHECK(list.containers(0).stuck().find("cannot be told") != std::string::npos);
    const bool dies = d.chance(0.5);
    if (dies)
      w.host.signal(*w.host.find(list.containers(0).pid()), SIGKILL);
    w.host.options.faults.no_pidfd = 0;
    w.pass(1s);
    CHECK(w.list().containers(0).state() == (dies ? v1::STOPPED : v1::RUNNING));
    CHECK(w.list().containers(0).stuck().empty());
    CHECK(count_events(w, "exit") == (dies ? 1u : 0u));
  }, 10);
}

TEST_CASE("what a failed create leaves is deleted in the end, and said to be stuck until then",
          "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    w.host.options.faults.delete_fails = 100;
    auto r = create("a", {"no-such-program"}, d.chance(0.5));
    r.set_request_id("make-a");
    const auto made = w.must<v1::CreateReply>(r);
    REQUIRE_FALSE(made.ok());
    CHECK(made.why().code == ec::command_not_found);
    if (d.chance(0.5)) {
      w.pass(d.between(0ms, 5s));
      live_again(w);
      w.pass(3s);
    }
    auto list = w.list();
    REQUIRE(list.containers_size() == 1);
    CHECK(list.containers(0).stuck().find("cannot be deleted") != std::string::npos);
    CHECK(count_events(w, "create-failed") == 0);
    const auto again = w.must<v1::CreateReply>(r); // Its answer stands.
    REQUIRE_FALSE(again.ok());
    CHECK(again.why().message == made.why().message);
    w.host.options.faults.delete_fails = 0;
    w.pass(2min);
    CHECK(w.list().containers_size() == 0);
    CHECK(count_events(w, "create-failed") == 1);
  }, 10);
}

TEST_CASE("a create that fails leaves no directory of its namespace", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    const auto made = w.must<v1::CreateReply>(create("a", {"no-such-program"}, d.chance(0.5)));
    REQUIRE_FALSE(made.ok());
    w.pass(10s);
    CHECK(w.host.groups.paths().empty());
  }, 10);
}

TEST_CASE("a container that is to go by itself goes when its start fails", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = create("a", {"work"}, false);
    r.mutable_spec()->set_remove_on_exit(true);
    const auto made = done<v1::CreateReply>(w, r);
    if (d.chance(0.5)) {
      w.host.options.faults.runtime_fails = 5;
      CHECK_FALSE(w.must<v1::StartReply>(on<v1::StartRequest>("a")).ok());
      w.host.options.faults.runtime_fails = 0;
    } else {
      w.host.signal(*w.host.find(made.pid()), SIGKILL);
    }
    w.pass(30s);
    CHECK(w.list().containers_size() == 0);
  }, 10);
}

TEST_CASE("a container that is to go by itself goes although its deletion fails at first",
          "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  w.host.options.faults.delete_fails = 100;
  auto r = create("a", {"work", "after=5ms"}, true);
  r.mutable_spec()->set_remove_on_exit(true);
  done<v1::CreateReply>(w, r);
  w.pass(1min);
  REQUIRE(w.list().containers_size() == 1);
  CHECK_FALSE(w.list().containers(0).stuck().empty());
  w.host.options.faults.delete_fails = 0;
  w.pass(2min);
  CHECK(w.list().containers_size() == 0);
  at_the_end(w);
}

TEST_CASE("a wait that was left is forgotten", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work"});
  auto& door = static_cast<actors::gate&>(w.door());
  bool told = false;
  {
    auto held = door.wait(w.by(), wait_for("a"), [&told](result<v1::WaitReply>) { told = true; });
    w.pass(10ms);
    CHECK(door.waiting() == 1);
  }
  CHECK(door.waiting() == 0);
  auto r = on<v1::StopRequest>("a");
  r.set_timeout_ns(1);
  done<v1::StopReply>(w, r);
  w.pass(10ms);
  CHECK_FALSE(told);
  at_the_end(w);
}

TEST_CASE("a process that came and went while nobody looked is not run again", "[sim]") {
  for (const bool init : {true, false})
    for (uint64_t kill_after = 20; kill_after < 60; kill_after += 2) {
      INFO((init ? "init" : "exec") << ", killed after " << kill_after << " ms");
      world w({});
      REQUIRE(w.begin_life());
      if (!init)
        must_run(w, "a", {"work"});
      w.host.options.canary = broken::a_death; // No keeper that would know of its end.
      if (init)
        send<v1::CreateReply>(w, create("a", {"work", "out=10", "after=1ms"}, true));
      else
        send<v1::ExecReply>(w, exec("a", {"work", "out=10", "after=1ms"}));
      w.pass(std::chrono::milliseconds(kill_after));
      w.kill();
      w.host.time.advance_to(w.host.time.now() + 300ms); // The command ends, and what it made.
      w.end_life();
      REQUIRE(w.begin_life());
      w.pass(10s);
      size_t ran = 0;
      for (const auto& p : w.host.history())
        ran += p->argv.size() > 1 && p->argv[1] == "out=10";
      CHECK(ran <= 1);
      w.host.options.canary = broken::nothing;
      remove_all(w);
    }
}

TEST_CASE("a command of an earlier life that ends leaves the waits for the others", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work"});
  w.host.options.faults.runtime_hangs = 5;
  send<v1::ExecReply>(w, exec("a", {"work"}, "hangs"));
  w.until([&w] {
    for (const auto& p : w.host.history())
      if (std::find(p->argv.begin(), p->argv.end(), "exec") != p->argv.end())
        return true;
    return false;
  });
  w.pass(2ms);
  w.host.options.faults.runtime_hangs = 0;
  send<v1::ExecReply>(w, exec("a", {"work"}, "lives"));
  w.pass(1ms);
  live_again(w);
  w.pass(200ms);
  w.end_life(); // It comes to rest, although one command hangs.
  REQUIRE(w.begin_life());
  w.pass(2min);
  at_the_end(w);
}

TEST_CASE("the limit that was hit before a restart is not blamed for a later kill", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto r = create("a", {"work"}, true);
  r.mutable_spec()->mutable_resources()->set_memory_bytes(64 << 20);
  done<v1::CreateReply>(w, r);
  done<v1::ExecReply>(w, exec("a", {"work", "oom", "after=5ms"}, "first"));
  CHECK(done<v1::WaitReply>(w, wait_for("a", "first")).exit().oom_level() == "container");
  const auto pid = done<v1::ExecReply>(w, exec("a", {"work"}, "second")).pid();
  live_again(w);
  w.pass(1s);
  // The host runs short, not the container.
  for (const char* path : {"/gantry/default/a", "/gantry/default", "/gantry"}) {
    ++w.host.groups.at(path)->oom_kill;
    w.host.groups.at(path)->moved();
  }
  w.host.signal(*w.host.find(pid), SIGKILL);
  CHECK(done<v1::WaitReply>(w, wait_for("a", "second")).exit().oom_level() == "host");
  live_again(w);
  // Both kills have their exit: whoever dies now dies of something else.
  const auto third = done<v1::ExecReply>(w, exec("a", {"work"}, "third")).pid();
  w.host.signal(*w.host.find(third), SIGKILL);
  CHECK_FALSE(done<v1::WaitReply>(w, wait_for("a", "third")).exit().oom());
  at_the_end(w);
}

TEST_CASE("what came over memory.high while nobody watched is told on return, once", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto r = create("a", {"work"}, true);
  r.mutable_spec()->add_pressure("memory.high");
  done<v1::CreateReply>(w, r);
  const auto over = [&w](uint64_t times) {
    w.host.groups.at("/gantry/default/a")->high += times;
    w.host.groups.at("/gantry/default/a")->moved();
  };
  over(2);
  w.pass(100ms);
  CHECK(count_events(w, "pressure") == 1);
  for (int i = 0; i < 2; ++i)
    live_again(w);
  w.pass(2s);
  CHECK(count_events(w, "pressure") == 1);
  w.kill();
  w.end_life();
  over(5);
  REQUIRE(w.begin_life());
  w.pass(100ms);
  CHECK(count_events(w, "pressure") == 2);
  CHECK(inspected(w).pressure(0).count() == 7);
  live_again(w);
  w.pass(2s);
  CHECK(count_events(w, "pressure") == 2);
  CHECK(inspected(w).pressure(0).crossed() == 2);
  at_the_end(w);
}

namespace {

/// Somebody in container "a" is killed for want of memory; the victim is not among our processes.
void kill_a_child(world& w) {
  for (const char* path : {"/gantry/default/a", "/gantry/default", "/gantry"}) {
    ++w.host.groups.at(path)->oom_kill;
    w.host.groups.at(path)->moved();
  }
  for (const auto& listener : w.host.groups.at("/gantry/default/a")->oom_listeners)
    if (const auto told = listener.lock())
      told->add(1);
}

v1::Event last_oom(world& w) {
  v1::Event out;
  for (const auto& e : w.events())
    if (e.type() == "oom")
      out = e;
  return out;
}

} // namespace

TEST_CASE("who was killed for want of memory is told where it is known", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = create("a", {"work", "oom", "after=20s"}, true);
    r.mutable_spec()->mutable_resources()->set_memory_bytes(64 << 20);
    const auto pid = done<v1::CreateReply>(w, r).pid();
    const bool away = d.chance(0.5);
    if (away) {
      w.kill();
      w.end_life();
    }
    kill_a_child(w);
    if (away)
      REQUIRE(w.begin_life());
    w.pass(1s);
    if (d.chance(0.3))
      live_again(w);
    CHECK(count_events(w, "oom") == 1); // Once, also where nobody watched.
    CHECK(last_oom(w).details().at("victim") == "other"); // Init lives on.
    CHECK(inspected(w).oom().victim() == "other");
    CHECK(inspected(w).oom().kills() == 1);
    // It dies itself; this host has no log of the kernel that could tell by whom.
    const auto end = done<v1::WaitReply>(w, wait_for("a")).exit();
    CHECK(end.signal() == SIGKILL);
    CHECK(end.oom());
    CHECK(end.oom_victim() == "unknown");
    CHECK(last_oom(w).details().at("victim") == "unknown");
    CHECK(count_events(w, "oom") == 2);
    for (const auto& e : w.events())
      if (e.type() == "exit")
        CHECK(e.cause() == last_oom(w).seq());
    CHECK(pid > 0);
  }, 10);
}

TEST_CASE("the directories of a namespace go some seconds after its last container", "[sim]") {
  for (bool hybrid : {false, true}) {
    machine_options o;
    o.hybrid = hybrid;
    world w(o);
    REQUIRE(w.begin_life());
    auto there = [&w] { return w.host.groups.at("/gantry/default") != nullptr; };
    for (int i = 0; i < 3; ++i) {
      must_run(w, "a", {"work"});
      remove_all(w);
      w.pass(1s);
      CHECK(there()); // For the next one.
    }
    w.pass(10s);
    CHECK_FALSE(there());
    must_run(w, "a", {"work"});
    remove_all(w);
    live_again(w);
    CHECK_FALSE(there());
    at_the_end(w);
  }
}

TEST_CASE("an exec that is being made does not come into the next run", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    const auto made = done<v1::CreateReply>(w, create("a", {"work"}, true));
    auto x = send<v1::ExecReply>(w, exec("a", {"work", "after=1ms"}));
    w.pass(d.between(0ms, 20ms));
    w.host.signal(*w.host.find(made.pid()), SIGKILL);
    w.pass(d.between(0ms, 5ms));
    auto again = send<v1::StartReply>(w, on<v1::StartRequest>("a"));
    REQUIRE(w.until([&] { return x.answered() && again.answered(); }, 2min));
    if ((*x).ok()) {
      w.pass(1s);
      CHECK(process_of(w, "a", "x").run == 1);
      for (const auto& e : w.events())
        if (e.process() == "x")
          CHECK(e.run() == 1);
    }
  });
}
