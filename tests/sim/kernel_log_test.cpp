// The kernel's log on a host that says much: it is read in slices, one a turn of the loop.

#include <catch2/catch.hpp>

#include "runtime/kill_log.hpp"
#include "tests/sim/sim_life.hpp"

using namespace gantry;
using answer = runtime::kill_log::answer;

namespace {

/// A host with a log, and a supervisor on it.
struct talkative {
  explicit talkative(int records) {
    for (int i = 0; i < records; ++i)
      host.log_of_kernel("something else");
  }
  void kill(int pid) {
    host.log_of_kernel("Out of memory: Killed process " + std::to_string(pid) + " (a) x");
  }
  [[nodiscard]] answer ask(int pid) const {
    return log.ask(pid, here.kernel.realtime().count());
  }

  static sim::machine_options with_log() {
    sim::machine_options o;
    o.kernel_log = true;
    return o;
  }

  sim::machine host{with_log()};
  sim::life here{host};
  runtime::kill_log log{here.loop};
};

} // namespace

TEST_CASE("kill log: a long one is read in slices, and who asks waits for its end", "[sim]") {
  talkative x(900);
  x.kill(7);
  CHECK(x.ask(7) == answer::unknown);
  int told = 0;
  REQUIRE_FALSE(x.log.read([&told] { ++told; }));
  REQUIRE_FALSE(x.log.read([&told] { ++told; })); // Another one; nothing more is read for it.
  CHECK(x.ask(7) == answer::unknown);
  CHECK(x.ask(8) == answer::unknown); // It may stand in what is left.
  int turns = 0;
  for (; told == 0; ++turns)
    REQUIRE(x.here.loop.turn(false));
  CHECK(turns == 3); // 256 records each, and as many at once.
  CHECK(told == 2);
  CHECK(x.ask(7) == answer::killed);
  CHECK(x.ask(8) == answer::not_killed);
  CHECK(x.log.read([] { FAIL("there was nothing left"); }));
  x.kill(8);
  CHECK(x.log.read([] { FAIL("one record is no more than a turn may take"); }));
  CHECK(x.ask(8) == answer::killed);
}

TEST_CASE("kill log: a kernel that writes faster than it is read leaves it unknown", "[sim]") {
  talkative x(300);
  bool told = false;
  REQUIRE_FALSE(x.log.read([&told] { told = true; }));
  int turns = 0;
  for (; !told && turns < 1000; ++turns) {
    for (int i = 0; i < 256; ++i)
      x.host.log_of_kernel("noise");
    x.here.loop.turn(false);
  }
  CHECK(turns == 255);
  CHECK(x.ask(7) == answer::unknown);
  // It is quiet again: whoever asks next hears the rest.
  REQUIRE(x.log.read([] { FAIL("44 records are left"); }));
  CHECK(x.ask(7) == answer::not_killed);
}

TEST_CASE("kill log: it may go while it is read", "[sim]") {
  talkative x(0);
  for (int i = 0; i < 600; ++i)
    x.host.log_of_kernel("something");
  {
    runtime::kill_log other(x.here.loop);
    REQUIRE_FALSE(other.read([] { FAIL("nobody is there any more"); }));
  }
  x.here.loop.turn(false);
  x.here.loop.turn(false);
}
