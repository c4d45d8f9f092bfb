#include "io/reaper.hpp"

#include <catch2/catch.hpp>

#include "io/local_shelf.hpp"
#include "tests/io/reaper_rig.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace std::chrono_literals;

namespace {

constexpr process_key nobody{0x3fffff, 12345}; // pid_max of a 64-bit host is one above

/// Whether the kernel gives the status of somebody else's child (6.15).
bool kernel_tells(kernel& k, foster& parent) {
  pid_t pid = parent.child();
  fd pidfd(k, k.pidfd_open(pid));
  ::kill(pid, SIGKILL);
  parent.reap();
  exit_status s;
  return k.pidfd_status(pidfd.get(), s) == 0;
}

} // namespace

TEST_CASE("reaper: without a keeper our own child is reaped, and its status is exact",
          "[uring]") {
  real_loop r;
  {
    auto shelf = local_shelf::make(*r.kernel, {.small_blocks = 1, .large_blocks = 1});
    REQUIRE(shelf.ok());
    reaper under_test(r.l, **shelf);
    under_test.start();
    pid_t pid = ::fork();
    if (pid == 0)
      ::_exit(42);
    std::optional<death> got;
    process_key who{pid, uint64_t(r.kernel->start_ticks(pid))};
    REQUIRE(under_test.watch(who, [&got](const death& d) { got = d; }));
    CHECK_FALSE(got.has_value());
    REQUIRE(r.until([&got] { return got.has_value(); }));
    CHECK(got->who == who);
    CHECK(got->status.known);
    CHECK(got->status.code == 42);
    CHECK(got->realtime_ns > 0);
    CHECK(under_test.watched() == 0);
    CHECK(::waitpid(pid, nullptr, WNOHANG) == -1); // nothing is left of it
  }
  CHECK(r.l.drain(5s));
}

TEST_CASE("reaper: the table tells the status, and its entry is freed after the report",
          "[uring]") {
  reaper_rig t;
  t.under_test->start();
  auto who = t.key_of(t.parent.child());
  bool full_inside = false;
  bool told = false;
  REQUIRE(t.under_test->watch(who, [&](const death& d) {
    full_inside = t.shelf.full() == 1;
    told = d.status.known && d.status.signal == SIGKILL;
  }));
  CHECK(t.under_test->pidfd_of(who) >= 0);
  ::kill(who.pid, SIGKILL);
  CHECK(t.r.until([&] { return t.under_test->pidfd_of(who) == -1; }));
  CHECK(t.silent(20ms)); // a zombie of somebody else: no status yet
  REQUIRE(t.shelf.bury(who, SIGKILL));
  t.shelf.tell();
  REQUIRE(t.r.until([&told] { return told; }));
  CHECK(full_inside);
  CHECK(t.shelf.full() == 0);
}

TEST_CASE("reaper: a process is reported once, though table, pidfd and kernel all know",
          "[uring]") {
  reaper_rig t;
  t.under_test->start();
  auto who = t.key_of(t.parent.child());
  REQUIRE(t.watch(who));
  CHECK_FALSE(t.watch(who)); // watched already
  ::kill(who.pid, SIGTERM);
  t.shelf.bury(who, SIGTERM);
  t.parent.reap();
  t.shelf.tell();
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.signal == SIGTERM);
  CHECK(t.silent(50ms));
  CHECK(t.shelf.full() == 0);
}

TEST_CASE("reaper: an entry that came before the watch is claimed, later and not inside",
          "[uring]") {
  reaper_rig t;
  REQUIRE(t.shelf.bury(nobody, 7 << 8));
  SECTION("before the start too") { t.under_test->start(); }
  SECTION("between start and watch") {
    t.under_test->start();
    REQUIRE(t.shelf.bury({1234567, 5}, 0));
  }
  REQUIRE(t.under_test->unclaimed(nobody.pid) != nullptr);
  CHECK(t.under_test->unclaimed(nobody.pid)->start_ticks == nobody.start_ticks);
  REQUIRE(t.watch(nobody));
  CHECK(t.deaths.empty());
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.code == 7);
  CHECK(t.under_test->unclaimed(nobody.pid) == nullptr);
}

TEST_CASE("reaper: the newest entry of a pid is the one found by pid alone", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  t.shelf.bury({77, 1}, 1 << 8);
  t.shelf.bury({77, 2}, 2 << 8);
  REQUIRE(t.under_test->unclaimed(77) != nullptr);
  CHECK(t.under_test->unclaimed(77)->start_ticks == 2);
  CHECK(t.under_test->unclaimed(78) == nullptr);
}

TEST_CASE("reaper: where the table says nothing the kernel's own word counts", "[uring]") {
  reaper_rig t;
  if (!kernel_tells(*t.r.kernel, t.parent)) {
    WARN("skipped: this kernel does not tell (it is older than 6.15)");
    return;
  }
  t.under_test->start();
  auto who = t.key_of(t.parent.child());
  REQUIRE(t.watch(who));
  ::kill(who.pid, SIGINT);
  CHECK(t.silent(20ms)); // not reaped: nobody can know
  t.parent.reap();
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.known);
  CHECK(t.deaths[0].status.signal == SIGINT);
}

TEST_CASE("reaper: a process that is gone without a word is reported as unknown", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  SECTION("at once when there is no keeper to wait for") {
    t.shelf.die();
    REQUIRE(t.watch(nobody));
    t.r.l.turn(false);
    t.r.l.turn(false);
    REQUIRE(t.deaths.size() == 1);
  }
  SECTION("after two seconds while the keeper may still tell") {
    REQUIRE(t.watch(nobody));
    CHECK(t.silent(1500ms));
    REQUIRE(t.reported());
  }
  SECTION("when the keeper dies meanwhile") {
    REQUIRE(t.watch(nobody));
    CHECK(t.silent(50ms));
    t.shelf.die();
    t.r.l.turn(false);
    REQUIRE(t.deaths.size() == 1);
  }
  CHECK_FALSE(t.deaths[0].status.known);
}

TEST_CASE("reaper: the keeper's word in time counts for a process that was gone", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  REQUIRE(t.watch(nobody));
  CHECK(t.silent(100ms));
  t.shelf.bury(nobody, SIGSEGV | 0x80);
  t.shelf.tell();
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.known);
  CHECK(t.deaths[0].status.signal == SIGSEGV);
  CHECK(t.deaths[0].status.core);
}

TEST_CASE("reaper: a pid that went to another process is not mistaken for it", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  auto living = t.key_of(t.parent.child());
  process_key dead{living.pid, living.start_ticks - 1};
  REQUIRE(t.watch(dead));
  CHECK(t.under_test->pidfd_of(dead) == -1); // else a signal would hit the wrong one
  t.shelf.bury(dead, 3 << 8);
  t.shelf.tell();
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.code == 3);
  CHECK(t.key_of(living.pid) == living);
}

TEST_CASE("reaper: an entry without a start time belongs to the watched pid", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  auto who = t.key_of(t.parent.child());
  REQUIRE(t.watch(who));
  t.shelf.bury({who.pid, 0}, 5 << 8);
  t.shelf.tell();
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.code == 5);
}

TEST_CASE("reaper: what is forgotten is not reported", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  auto who = t.key_of(t.parent.child());
  REQUIRE(t.watch(who));
  SECTION("before anything was submitted") { t.under_test->forget(who); }
  SECTION("while it is watched") {
    CHECK(t.silent(5ms));
    t.under_test->forget(who);
  }
  ::kill(who.pid, SIGKILL);
  t.shelf.bury(who, SIGKILL);
  t.shelf.tell();
  CHECK(t.silent(50ms));
  REQUIRE(t.watch(who)); // and can be watched anew
  CHECK(t.reported());
}

TEST_CASE("reaper: a watch from inside a report and a forgotten report do not collide",
          "[uring]") {
  reaper_rig t;
  t.under_test->start();
  t.shelf.bury(nobody, 1 << 8);
  t.shelf.bury({55, 5}, 2 << 8);
  REQUIRE(t.watch(nobody));
  t.under_test->forget(nobody); // its report is posted already
  REQUIRE(t.watch(nobody));
  REQUIRE(t.under_test->watch({55, 5}, [&t](const death&) { t.watch({55, 6}); }));
  REQUIRE(t.reported());
  CHECK(t.deaths[0].status.code == 1);
  t.shelf.bury({55, 6}, 3 << 8);
  t.shelf.tell();
  REQUIRE(t.reported(2));
  CHECK(t.deaths[1].status.code == 3);
}

TEST_CASE("reaper: may be destroyed in the middle of a report", "[uring]") {
  reaper_rig t;
  t.under_test->start();
  t.shelf.bury(nobody, 0);
  bool called = false;
  t.under_test->watch(nobody, [&](const death&) {
    called = true;
    t.under_test.reset();
  });
  CHECK(t.r.until([&called] { return called; }));
}
