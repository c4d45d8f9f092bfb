#include "runtime/ledger.hpp"

#include <malloc.h>

#include "tests/runtime/ledger_rig.hpp"
#include "tests/runtime/world_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

TEST_CASE("ledger: the world has changed when a watch hears of it", "[uring]") {
  ledger_host x;
  std::vector<std::string> heard;
  auto watch = x.l->on_record([&](const journal::Record& r) {
    const auto* c = x.l->now().find({"default", "web"});
    heard.push_back(std::to_string(r.seq()) + ":" + v1::State_Name(c->state));
  });
  x.run("web");
  CHECK(heard == std::vector<std::string>{"1:CREATING", "2:CREATED", "3:RUNNING"});
  watch.reset();
  x.exit("web");
  CHECK(heard.size() == 3);
  CHECK(x.l->now().find({"default", "web"})->state == v1::STOPPED);
}

TEST_CASE("ledger: a watch that records is told of it after all have heard of the first",
          "[uring]") {
  ledger_host x;
  std::vector<std::string> heard;
  auto hear = [&heard](char who, const journal::Record& r) {
    heard.push_back(who + std::to_string(r.seq()));
  };
  auto a = x.l->on_record([&](const journal::Record& r) {
    hear('a', r);
    if (r.has_died()) {
      auto exited = x.base("web");
      exited.mutable_exited();
      CHECK(x.l->record(exited) == 5);
    }
  });
  std::unique_ptr<ledger::watch> late;
  auto b = x.l->on_record([&](const journal::Record& r) {
    hear('b', r);
    if (r.seq() == 4) {
      a.reset(); // From inside.
      late = x.l->on_record([&](const journal::Record& s) { hear('c', s); });
    }
  });
  x.run("web");
  heard.clear();
  auto died = x.base("web");
  died.mutable_died();
  x.l->record(died);
  CHECK(heard == std::vector<std::string>{"a4", "b4", "b5", "c5"});
}

TEST_CASE("ledger: the labels of a container travel in its create event", "[uring]") {
  ledger_host x;
  x.run("web", "shop");
  auto items = x.all_since(0, 0);
  REQUIRE(types_of(items) == std::vector<std::string>{"create", "start"});
  CHECK(items[0].event().labels().at("app") == "shop");
}

TEST_CASE("ledger: what is about a whole container carries the pid of its init", "[uring]") {
  ledger_host x;
  x.run("web");
  auto running = x.base("web");
  running.set_pid(77);
  running.set_run(1);
  running.mutable_started();
  x.l->record(running);
  auto say = [&x](auto make) {
    auto r = x.base("web", "");
    (r.*make)();
    x.l->record(r);
  };
  say(&journal::Record::mutable_paused);
  say(&journal::Record::mutable_resumed);
  say(&journal::Record::mutable_updated);
  say(&journal::Record::mutable_oom);
  for (const auto& item : x.all_since(1, x.l->file().last_seq() - 4)) {
    INFO(item.event().type());
    CHECK(item.event().pid() == 77);
    CHECK(item.event().process().empty());
  }
}

TEST_CASE("ledger: a restart brings the same world", "[uring]") {
  journal_policy policy;
  policy.segment_bytes = 1000; // Several snapshots on the way.
  ledger_host x(policy);
  std::mt19937_64 random(11);
  scribe s;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 40; ++i) {
      auto r = random_record(s, random);
      x.l->record(r);
      if (i % 10 == 9)
        REQUIRE(wait_durable(x.h, x.l->file()).ok());
    }
    REQUIRE(x.h.until([&] { return x.h.loop->in_flight() == 0; }));
    auto before = x.l->now().save();
    x.stop();
    if (round % 2 == 1) {
      x.memory = std::make_unique<arena_memory>();
      x.boot += "'";
    }
    x.start();
    std::string how;
    bool equal = same(before, x.l->now().save(), &how);
    INFO("round " << round << "\n" << how);
    REQUIRE(equal);
  }
  CHECK(x.report.snapshot_seq > 0);
}

TEST_CASE("ledger: a thousand containers cost at most 2 KiB each", "[uring]") {
  world w;
  scribe s;
  auto used = [] {
    struct mallinfo2 m = mallinfo2();
    return m.uordblks;
  };
  auto before = used();
  for (int i = 0; i < 1000; ++i) {
    s.container = "container-" + std::to_string(i);
    w.apply(s.creating());
    w.apply(s.created());
    w.apply(s.started());
  }
  auto each = double(used() - before) / 1000;
  WARN("a container in the world: " << each << " bytes");
  CHECK(each < 2048);
}
