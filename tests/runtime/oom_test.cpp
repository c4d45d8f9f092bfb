#include "runtime/cgroup.hpp"

#include <catch2/catch.hpp>

#include "host_rig.hpp"
#include "runtime/kill_log.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

TEST_CASE("no kill since before is no OOM") {
  oom_counters before{.kills = 2, .limit_hits = 5, .ancestor = {}, .has_limit = true};
  auto now = before;
  now.limit_hits = 9;
  CHECK(oom_level(cgroup_mode::v2, before, now).empty());
  CHECK(oom_level(cgroup_mode::v1, before, now).empty());
}

TEST_CASE("v2 tells the container's own limit from somebody else's") {
  oom_counters before;
  oom_counters own{.kills = 1, .limit_hits = 1, .ancestor = {}, .has_limit = true};
  CHECK(oom_level(cgroup_mode::v2, before, own) == "container");
  oom_counters host{.kills = 1, .limit_hits = 0, .ancestor = {}, .has_limit = true};
  CHECK(oom_level(cgroup_mode::v2, before, host) == "host");
}

TEST_CASE("v1 infers, and without a limit that was hit it was the host") {
  oom_counters before;
  oom_counters hit{.kills = 1, .limit_hits = 3, .ancestor = {}, .has_limit = true};
  CHECK(oom_level(cgroup_mode::v1, before, hit) == "inferred");
  CHECK(oom_level(cgroup_mode::hybrid, before, hit) == "inferred");
  oom_counters none{.kills = 1, .limit_hits = 0, .ancestor = {}, .has_limit = true};
  CHECK(oom_level(cgroup_mode::hybrid, before, none) == "host");
  oom_counters free{.kills = 1, .limit_hits = 0, .ancestor = {}, .has_limit = false};
  CHECK(oom_level(cgroup_mode::hybrid, before, free) == "host");
}

TEST_CASE("an OOM kill is told by the watch and stands in the counters", "[root][runc]") {
  engine_rig rig;
  auto spec = rig.spec({"/bin/sh", "-c", "sleep 0.3; exec dd if=/dev/zero of=/dev/null bs=200M"});
  spec.mutable_resources()->set_memory_bytes(16 << 20);
  spec.mutable_resources()->set_memory_swap_bytes(16 << 20);
  auto made = rig.create("a", spec, false);
  REQUIRE(made.ok());
  auto group = rig.group("a");
  auto before = group.oom();
  CHECK(before.kills == 0);
  CHECK(before.has_limit);
  oom_watch watch(*rig.loop, rig.cgroups);
  int told = 0;
  REQUIRE(watch.start(group.path(), [&told] { ++told; }).ok());
  REQUIRE(rig.start("a").ok());
  CHECK(rig.until([&told] { return told > 0; }));
  CHECK(rig.end_of(*made) == 128 + SIGKILL);
  auto now = group.oom();
  CHECK(now.kills >= 1);
  auto level = oom_level(rig.cgroups.mode, before, now);
  CHECK(level == (rig.cgroups.mode == cgroup_mode::v2 ? "container" : "inferred"));
  CHECK(group.stats(false)->oom_kills() == now.kills);
  // The kernel's log names it, where it can be read.
  kill_log log(*rig.loop);
  bool read = log.read([&read] { read = true; });
  REQUIRE(rig.until([&read] { return read; }));
  const auto at = rig.kernel->realtime().count();
  const auto named = log.ask(made->key.pid, at);
  CHECK(named != kill_log::answer::not_killed);
  std::string second;
  REQUIRE(rig.kernel->read_small("/proc/2/comm", second, 64) >= 0);
  if (::access("/dev/kmsg", R_OK) == 0 && second == "kthreadd\n") {
    CHECK(named == kill_log::answer::killed);
    CHECK(log.ask(::getpid(), at) != kill_log::answer::killed);
    CHECK(log.ask(made->key.pid, at + 3'600'000'000'000) == kill_log::answer::unknown);
  }
  bool stopped = false;
  watch.stop([&stopped] { stopped = true; });
  REQUIRE(rig.until([&stopped] { return stopped; }));
}

TEST_CASE("a watch ends by itself when the group is removed, and stops in any state",
          "[root][runc]") {
  engine_rig rig;
  auto made = rig.create("a", rig.spec({"/bin/true"}), false);
  REQUIRE(made.ok());
  auto group = rig.group("a");
  oom_watch watch(*rig.loop, rig.cgroups);
  int told = 0;
  REQUIRE(watch.start(group.path(), [&told] { ++told; }).ok());
  CHECK(rig.remove("a", true).ok());
  bool stopped = false;
  watch.stop([&stopped] { stopped = true; });
  REQUIRE(rig.until([&stopped] { return stopped; }));
  CHECK(told == 0); // the rmdir is no OOM
  oom_watch none(*rig.loop, rig.cgroups);
  CHECK(none.start(rig.cgroup_base + "/nobody", [] {}).why().code == ec::not_found);
  bool rest = false;
  none.stop([&rest] { rest = true; });
  REQUIRE(rig.until([&rest] { return rest; }));
}
