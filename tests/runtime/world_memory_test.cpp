#include <catch2/catch.hpp>

#include "runtime/world.hpp"
#include "tests/runtime/world_rig.hpp"

// What the world keeps of processes that have ended, of their runs, outputs and OOM kills.

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

TEST_CASE("world: a process belongs to the run in which it was made") {
  running_web x;
  auto add = x.s.exec_adding("e");
  add.set_run(1);
  x.w.apply(add);
  for (uint32_t run : {2u, 3u}) { // The exec is not settled all the while.
    x.w.apply(x.s.exited("init", 0));
    auto fresh = x.s.record();
    fresh.set_run(run);
    fresh.mutable_starting()->set_fresh(true);
    x.w.apply(fresh);
    x.w.apply(x.s.created());
    x.w.apply(x.s.started(run));
  }
  CHECK(x.c().process("e")->run == 1);
  CHECK(x.c().init()->run == 3);
  world other;
  other.load(x.w.save());
  CHECK(other.find({"default", "web"})->process("e")->run == 1);
  x.w.apply(x.s.exited("e", 4));
  CHECK(x.w.exit_of({"default", "web"}, 0, "e")->run == 1);
}

TEST_CASE("world: an output that outlives the exit keeps its process remembered") {
  running_web x;
  x.w.apply(x.s.exec_adding("e"));
  auto end = x.s.exited("e", 0);
  end.mutable_exited()->mutable_exit()->set_io_open(true);
  x.w.apply(end);
  const auto late = x.s.now_ns + int64_t(4e12);
  CHECK(x.c().process("e")->io_open());
  CHECK(x.w.beyond_bounds(late).empty());
  auto closed = x.s.record("e");
  closed.mutable_output_closed()->set_stdout_bytes(77);
  x.w.apply(closed);
  CHECK_FALSE(x.c().process("e")->io_open());
  CHECK(x.c().process("e")->output_bytes[0] == 77);
  CHECK(x.c().process("e")->exit->io_open()); // What was told stays told.
  CHECK(x.w.beyond_bounds(late).size() == 1);
  world other;
  other.load(x.w.save());
  CHECK_FALSE(other.find({"default", "web"})->process("e")->io_open());
}

TEST_CASE("world: an exec is remembered as long as its spec says") {
  running_web x;
  for (const auto* id : {"short", "usual"}) {
    auto add = x.s.exec_adding(id);
    if (id[0] == 's')
      add.mutable_exec_adding()->mutable_spec()->set_ttl_ns(1'000'000'000);
    x.w.apply(add);
    x.w.apply(x.s.exited(id, 0));
  }
  world other;
  other.load(x.w.save());
  for (auto* w : {&x.w, &other}) {
    const auto due = w->next_expiry();
    REQUIRE(due);
    CHECK(w->beyond_bounds(*due).empty());
    const auto old = w->beyond_bounds(*due + 1);
    REQUIRE(old.size() == 1);
    CHECK(old.front().process == "short");
  }
}

TEST_CASE("world: OOM kills keep their limit's count, their level and who claimed them") {
  running_web x;
  x.w.apply(x.s.exec_adding("e"));
  auto oom = x.s.record();
  oom.mutable_oom()->set_kills(1);
  oom.mutable_oom()->set_limit_hits(3);
  oom.mutable_oom()->set_level("container");
  oom.mutable_oom()->set_victim("other");
  x.w.apply(oom);
  auto end = x.s.exited("e", 0);
  end.mutable_exited()->mutable_exit()->set_oom(true);
  x.w.apply(end);
  auto forgotten = x.s.record("e");
  forgotten.mutable_process_forgotten();
  x.w.apply(forgotten);
  world other;
  other.load(x.w.save());
  const auto& c = *other.find({"default", "web"});
  CHECK(c.oom_limit_hits == 3);
  CHECK(c.oom_level == "container");
  CHECK(c.oom_claimed == 1);
  CHECK(c.oom_victim == "other");
  CHECK(c.oom_at_ns != 0);
  CHECK(c.oom_seq != 0);
}
