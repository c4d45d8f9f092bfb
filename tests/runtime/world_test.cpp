#include "runtime/world.hpp"

#include <catch2/catch.hpp>

#include "tests/runtime/world_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;
using phase = process_view::phase_t;

TEST_CASE("world: a container appears with its intent and comes to run") {
  world w;
  scribe s;
  auto creating = s.creating(false, "req-1");
  creating.mutable_by()->set_uid(1000);
  w.apply(creating);
  const auto* c = w.find(web);
  REQUIRE(c != nullptr);
  CHECK(c->state == v1::CREATING);
  CHECK(c->instance == creating.seq());
  CHECK(c->op == creating.creating().op());
  CHECK(c->intent_seq == creating.seq());
  CHECK(c->intent_by->uid() == 1000);
  CHECK(w.pending("req-1") == c);
  CHECK(w.pending("") == nullptr);
  REQUIRE(c->init() != nullptr);
  CHECK(c->init()->phase == phase::adding);
  CHECK(c->init()->with_stdin);
  CHECK(w.take_serial() > c->init()->serial);

  w.apply(s.created(77));
  CHECK(c->state == v1::CREATED);
  CHECK(c->init()->pid == 77);
  CHECK(c->init()->start_ticks == 5000);
  CHECK(c->init()->phase == phase::created);
  CHECK(c->intent_seq == 0);
  CHECK(w.pending("req-1") == nullptr);

  auto starting = s.record();
  starting.mutable_starting()->set_op(4);
  w.apply(starting);
  CHECK(c->state == v1::STARTING);
  CHECK(c->before == v1::CREATED);
  CHECK(c->op == 4);
  w.apply(s.started(1, 77));
  CHECK(c->state == v1::RUNNING);
  CHECK(c->run == 1);
  CHECK(c->init()->phase == phase::running);
  CHECK(c->before == v1::STATE_UNSPECIFIED);
  CHECK(c->op == 0);
  auto sum = w.summary(*c);
  CHECK(sum.pid() == 77);
  CHECK(sum.state() == v1::RUNNING);
  CHECK(sum.labels().at("app") == "web");
  CHECK(sum.command(0) == "sleep");
}

TEST_CASE("world: create with start stays under way until it runs") {
  world w;
  scribe s;
  w.apply(s.creating(true, "req-1"));
  w.apply(s.created());
  CHECK(w.find(web)->start_wanted);
  CHECK(w.pending("req-1") != nullptr);
  w.apply(s.started());
  CHECK_FALSE(w.find(web)->start_wanted);
  CHECK(w.pending("req-1") == nullptr);
}

TEST_CASE("world: a create that failed leaves nothing, a start that failed a stopped container") {
  world w;
  scribe s;
  w.apply(s.creating(false, "req-1"));
  SECTION("create") {
    auto r = s.record();
    r.mutable_create_failed()->set_code("runtime_failed");
    w.apply(r);
    CHECK(w.find(web) == nullptr);
    CHECK(w.pending_count() == 0);
    CHECK_FALSE(w.exit_of(web, 0, "").has_value());
  }
  SECTION("start") {
    w.apply(s.created());
    auto starting = s.record();
    starting.mutable_starting();
    w.apply(starting);
    auto r = s.record();
    r.mutable_start_failed();
    w.apply(r);
    CHECK(w.find(web)->state == v1::STOPPED);
    CHECK(w.summary(*w.find(web)).pid() == 0);
  }
  SECTION("start, with init's death before or behind it") {
    w.apply(s.created());
    auto failed = s.record();
    failed.mutable_start_failed();
    const bool before = GENERATE(false, true);
    if (before)
      w.apply(s.died("init", 3));
    w.apply(failed);
    if (!before)
      w.apply(s.died("init", 3));
    CHECK(w.find(web)->state == v1::STOPPED);
    CHECK(w.find(web)->init()->phase == phase::exited); // Nothing is left to settle.
    CHECK(w.find(web)->init()->died.empty());
  }
}

TEST_CASE("world: an exit is settled once, and stops the container") {
  running_web x;
  x.w.apply(x.s.died("init", 3));
  CHECK(x.c().state == v1::RUNNING); // Died is not yet exited: its streams may hold bytes.
  CHECK(x.c().init()->phase == phase::died);
  CHECK_FALSE(x.c().init()->died.empty());
  CHECK(x.w.summary(x.c()).pid() == 0);
  auto exited = x.s.exited("init", 3);
  x.w.apply(exited);
  CHECK(x.c().state == v1::STOPPED);
  CHECK(x.c().init()->died.empty());
  CHECK(x.c().init()->exit->seq() == exited.seq());
  x.w.apply(x.s.exited("init", 9));
  CHECK(x.c().init()->exit->exit_code() == 3);
  auto found = x.w.exit_of(web, 0, "");
  REQUIRE(found.has_value());
  CHECK(found->run == 1);
  CHECK(found->instance == x.c().instance);
}

TEST_CASE("world: deleting outranks every other fact until the container is gone") {
  running_web x;
  auto deleting = x.s.record();
  deleting.mutable_deleting()->set_force(true);
  deleting.set_request_id("rm-1");
  x.w.apply(deleting);
  CHECK(x.c().state == v1::DELETING);
  CHECK(x.c().before == v1::RUNNING);
  CHECK(x.c().force);
  CHECK(x.c().init()->cause == deleting.seq());
  for (auto make : {&journal::Record::mutable_stopping}) {
    auto r = x.s.record();
    (r.*make)();
    x.w.apply(r);
  }
  auto paused = x.s.record();
  paused.mutable_paused();
  x.w.apply(paused);
  x.w.apply(x.s.exited("init", 137));
  CHECK(x.c().state == v1::DELETING);
  CHECK(x.w.pending("rm-1") == &x.c());
  auto instance = x.c().instance;
  auto deleted = x.s.record();
  deleted.mutable_deleted();
  x.w.apply(deleted);
  CHECK(x.w.find(web) == nullptr);
  CHECK(x.w.pending_count() == 0);
  CHECK(x.w.exit_of(web, 0, "init")->exit.exit_code() == 137);
  CHECK(x.w.exit_of(web, instance, "init").has_value());
  CHECK_FALSE(x.w.exit_of(web, instance + 1, "init").has_value());
  CHECK(x.w.labels(instance)->at("app") == "web");

  // A new one of the same name has not ended, whatever the old one did.
  x.w.apply(x.s.creating());
  CHECK_FALSE(x.w.exit_of(web, 0, "init").has_value());
  CHECK(x.w.exit_of(web, instance, "init").has_value());

  // After an hour nobody asks any more.
  x.s.now_ns += 3'601'000'000'000;
  auto later = x.s.record();
  later.mutable_oom();
  x.w.apply(later);
  CHECK_FALSE(x.w.exit_of(web, instance, "init").has_value());
  CHECK(x.w.labels(instance) == nullptr);
}

TEST_CASE("world: a record of an older instance changes nothing") {
  running_web x;
  auto before = x.w.save();
  auto r = x.s.exited("init", 1);
  r.set_instance(x.c().instance + 1000);
  x.w.apply(r);
  CHECK(same(before, x.w.save()));
}

TEST_CASE("world: pause and resume, done and undone") {
  running_web x;
  auto say = [&x](auto make) {
    auto r = x.s.record();
    (r.*make)();
    x.w.apply(r);
  };
  say(&journal::Record::mutable_pausing);
  CHECK(x.c().state == v1::PAUSING);
  CHECK(x.c().before == v1::RUNNING);
  say(&journal::Record::mutable_paused);
  CHECK(x.c().state == v1::PAUSED);
  CHECK(x.c().paused);
  say(&journal::Record::mutable_resuming);
  CHECK(x.c().state == v1::PAUSED);
  CHECK(x.c().before == v1::PAUSED);
  say(&journal::Record::mutable_resumed);
  CHECK(x.c().state == v1::RUNNING);
  CHECK_FALSE(x.c().paused);
  say(&journal::Record::mutable_pausing);
  auto undone = x.s.record();
  undone.mutable_state_restored()->set_state(v1::RUNNING);
  x.w.apply(undone);
  CHECK(x.c().state == v1::RUNNING);
  CHECK(x.c().before == v1::STATE_UNSPECIFIED);
  say(&journal::Record::mutable_paused);
  auto stopping = x.s.record();
  stopping.mutable_stopping()->set_signal(15);
  stopping.mutable_stopping()->set_timeout_ns(7);
  x.w.apply(stopping);
  CHECK(x.c().state == v1::STOPPING);
  CHECK(x.c().paused); // Frozen still, whatever the state says.
  CHECK(x.c().stop_signal == 15);
  CHECK(x.c().stop_timeout_ns == 7);
  CHECK(x.c().init()->cause == stopping.seq());
  say(&journal::Record::mutable_resumed);
  CHECK(x.c().state == v1::STOPPING);
  CHECK_FALSE(x.c().paused);
}

TEST_CASE("world: execs come, end, and are forgotten beyond the bounds") {
  world_policy policy;
  policy.max_finished_execs = 2;
  running_web x;
  x.w = world(policy);
  x.s = scribe();
  x.w.apply(x.s.creating());
  x.w.apply(x.s.created());
  x.w.apply(x.s.started());
  x.w.apply(x.s.exec_adding("a", "req-a"));
  CHECK(x.w.pending("req-a") != nullptr);
  auto started = x.s.record("a");
  started.set_pid(200);
  started.mutable_exec_started()->set_start_ticks(6);
  x.w.apply(started);
  CHECK(x.w.pending("req-a") == nullptr);
  CHECK(x.c().process("a")->phase == phase::running);
  CHECK(x.w.summary(x.c()).execs() == 1);
  x.w.apply(x.s.exec_adding("gone"));
  auto failed = x.s.record("gone");
  failed.mutable_exec_failed();
  x.w.apply(failed);
  CHECK(x.c().process("gone") == nullptr);
  for (const char* id : {"a", "b", "c", "d"}) {
    if (*id != 'a')
      x.w.apply(x.s.exec_adding(id));
    x.w.apply(x.s.exited(id, 0));
  }
  CHECK(x.w.exit_of(web, 0, "d").has_value());
  auto over = x.w.beyond_bounds(x.s.now_ns);
  REQUIRE(over.size() == 2);
  CHECK(over[0].process == "a");
  CHECK(over[1].process == "b");
  for (const auto& f : over) {
    auto r = x.s.record(f.process);
    r.mutable_process_forgotten();
    x.w.apply(r);
  }
  CHECK(x.c().process("a") == nullptr);
  CHECK(x.w.beyond_bounds(x.s.now_ns).empty());
  CHECK(x.w.beyond_bounds(x.s.now_ns + policy.finished_age_ns + 1'000'000).size() == 2);
}

TEST_CASE("world: kill, oom, update and stdin leave their marks") {
  running_web x;
  x.w.apply(x.s.exec_adding("e"));
  auto kill = x.s.record("e");
  kill.mutable_killed()->set_signal(9);
  x.w.apply(kill);
  CHECK(x.c().process("e")->cause == kill.seq());
  CHECK(x.c().init()->cause == 0);
  auto all = x.s.record();
  all.mutable_killed()->set_all(true);
  x.w.apply(all);
  CHECK(x.c().process("e")->cause == all.seq());
  CHECK(x.c().init()->cause == all.seq());
  auto oom = x.s.record();
  oom.mutable_oom()->set_kills(2);
  x.w.apply(oom);
  CHECK(x.c().oom_kills == 2);
  auto update = x.s.record();
  update.mutable_updated()->mutable_resources()->set_pids_limit(50);
  x.w.apply(update);
  v1::ContainerSpec spec;
  REQUIRE(spec.ParseFromString(x.c().spec));
  CHECK(spec.resources().pids_limit() == 50);
  CHECK(spec.resources().memory_bytes() == 1 << 20);
  auto closed = x.s.record("init");
  closed.mutable_stdin_closed();
  x.w.apply(closed);
  CHECK(x.c().init()->stdin_closed);
}

TEST_CASE("world: the first answer to a request stays, the oldest go") {
  world_policy policy;
  policy.max_requests = 3;
  world w(policy);
  scribe s;
  auto answer = [&](const std::string& id, const std::string& reply) {
    auto r = s.record();
    r.set_request_id(id);
    r.mutable_answered()->set_reply(reply);
    w.apply(r);
  };
  answer("1", "first");
  answer("1", "second");
  REQUIRE(w.answer("1") != nullptr);
  CHECK(w.answer("1")->reply() == "first");
  answer("2", "");
  answer("3", "");
  answer("4", "");
  CHECK(w.answer("1") == nullptr);
  CHECK(w.answer("4") != nullptr);
  CHECK(w.answer_count() == 3);
}

TEST_CASE("world: any sequence of records can be saved and loaded at any point") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    scribe s;
    world_policy policy;
    policy.max_finished_exits = 5;
    policy.max_requests = 7;
    policy.finished_age_ns = 1'200'000'000'000;
    world straight(policy);
    world loaded(policy);
    for (int i = 0; i < 150; ++i) {
      auto r = random_record(s, random);
      straight.apply(r);
      if (random() % 10 == 0) { // As over a restart.
        world next(policy);
        next.load(loaded.save());
        REQUIRE(next.pending_count() == loaded.pending_count());
        loaded = next;
      }
      loaded.apply(r);
      std::string how;
      bool equal = same(straight.save(), loaded.save(), &how);
      INFO("record " << i << ": " << r.ShortDebugString() << "\n" << how);
      REQUIRE(equal);
      REQUIRE(straight.pending_count() == loaded.pending_count());
      for (const auto& [name, c] : straight.all()) {
        REQUIRE(c->init() == &c->processes.front());
        REQUIRE(same(straight.summary(*c), loaded.summary(*loaded.find(name))));
      }
    }
  }
}
