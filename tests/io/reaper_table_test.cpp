#include "io/reaper.hpp"

#include <catch2/catch.hpp>

#include "tests/io/reaper_rig.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace std::chrono_literals;

TEST_CASE("reaper table: an entry that nobody claims is freed after a second", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  t.shelf.bury({77, 1}, 0);
  t.shelf.tell();
  CHECK(t.silent(800ms));
  CHECK(t.shelf.full() == 1);
  CHECK(t.r.until([&t] { return t.shelf.full() == 0; }));
}

TEST_CASE("reaper table: an entry waits for a command that began before it", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  auto ticket = t.under_test->command_begins();
  t.shelf.bury({77, 1}, 9 << 8);
  t.shelf.tell();
  CHECK(t.silent(1300ms));
  CHECK(t.shelf.full() == 1);
  t.under_test->command_ends(ticket);
  CHECK(t.silent(500ms)); // its owner still may claim
  REQUIRE(t.watch({77, 1}));
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.code == 9);
  CHECK(t.shelf.full() == 0);
}

TEST_CASE("reaper table: a command that began later holds nothing back", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  t.shelf.bury({77, 1}, 0);
  t.shelf.memory().dead()[0].realtime_ns -= 1'000'000'000;
  t.shelf.tell();
  auto ticket = t.under_test->command_begins();
  CHECK(t.r.until([&t] { return t.shelf.full() == 0; }));
  t.under_test->command_ends(ticket);
}

TEST_CASE("reaper table: entries from before the start wait for the recovery", "[uring]") {
  reaper_rig t;
  t.shelf.bury({77, 1}, 4 << 8);
  t.under_test->start();
  CHECK(t.silent(1500ms));
  CHECK(t.shelf.full() == 1);
  REQUIRE(t.watch({77, 1}));
  CHECK(t.reported());
}

TEST_CASE("reaper table: the keeper is told once when a full table has room again", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  const int size = int(t.shelf.memory().dead().size());
  for (int i = 0; i < size; ++i) {
    REQUIRE(t.watch({1'000'000 + i, 1}));
    REQUIRE(t.shelf.bury({1'000'000 + i, 1}, i << 8));
  }
  CHECK_FALSE(t.shelf.bury({5, 5}, 0));
  t.shelf.tell();
  REQUIRE(t.reported(size_t(size)));
  t.r.l.turn(false);
  CHECK(t.shelf.times_freed == 1);
  CHECK(t.shelf.memory().header().dead_overflow == 0);
  for (int i = 0; i < size; ++i) // in the order in which they died
    CHECK(t.deaths[size_t(i)].who.pid == 1'000'000 + i);
}

TEST_CASE("reaper table: places are used again and again without losing one", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  int next = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 50; ++i, ++next) { // of 64
      REQUIRE(t.watch({2'000'000 + next, 1}));
      REQUIRE(t.shelf.bury({2'000'000 + next, 1}, (next % 256) << 8));
    }
    t.shelf.tell();
    REQUIRE(t.reported(size_t(next)));
  }
  for (int i = 0; i < next; ++i)
    CHECK(t.deaths[size_t(i)].status.code == i % 256);
  t.r.l.turn(false);
  CHECK(t.shelf.full() == 0);
}

TEST_CASE("reaper table: an entry without a step of the position is found in the end",
          "[uring]") {
  reaper_rig t;
  t.under_test->start();
  REQUIRE(t.watch({77, 1}));
  t.shelf.bury({77, 1}, 6 << 8, false); // its keeper was killed in between
  SECTION("when the keeper is lost") { t.shelf.die(); }
  SECTION("when news come") { t.shelf.tell(); }
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.code == 6);
}

TEST_CASE("reaper table: nothing wakes the loop while nothing happens", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  for (int i = 0; i < 10; ++i)
    REQUIRE(t.watch(t.key_of(t.parent.child())));
  t.r.l.turn(false);
  auto before = t.r.l.stats().turns;
  CHECK(t.silent(300ms));
  CHECK(t.r.l.stats().turns - before <= 2);
}
