#include "runtime/cgroup.hpp"

#include <catch2/catch.hpp>
#include <chrono>

#include "host_rig.hpp"
#include "tests/slower.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

TEST_CASE("a busy container has numbers, normalised and raw", "[root][runc]") {
  engine_rig rig;
  auto spec = rig.spec({"/bin/sh", "-c", "while :; do :; done"});
  spec.mutable_resources()->set_memory_bytes(64 << 20);
  spec.mutable_resources()->set_nano_cpus(200'000'000);
  spec.mutable_resources()->set_pids_limit(33);
  REQUIRE(rig.create("a", spec, true).ok());
  auto group = rig.group("a");
  auto busy = [&group] {
    auto s = group.stats(false);
    return s.ok() && s->cpu_usage_ns() > 50'000'000 && s->throttled_ns() > 0;
  };
  REQUIRE(rig.until(busy));
  auto s = group.stats(true);
  REQUIRE(s.ok());
  CHECK(s->read_at_ns() > 1'600'000'000'000'000'000);
  CHECK(s->throttled_periods() > 0);
  CHECK(s->memory_bytes() > 0);
  CHECK(s->memory_limit_bytes() == 64u << 20);
  CHECK(s->memory_peak_bytes() >= s->memory_working_set_bytes());
  CHECK(s->memory_working_set_bytes() <= s->memory_bytes());
  CHECK(s->pids() >= 1);
  CHECK(s->pids_limit() == 33);
  CHECK(s->oom_kills() == 0);
  CHECK(s->raw().size() > 10);
  CHECK(s->raw().at("cpu.stat").find("nr_throttled") != std::string::npos);
  CHECK(s->psi().at("cpu").starts_with("some avg10="));
  CHECK(group.stats(false)->raw().empty());
}

TEST_CASE("statistics of a container cost well under a millisecond", "[root][runc]") {
  engine_rig rig;
  REQUIRE(rig.create("a", rig.spec({"/bin/sleep", "1000"}), true).ok());
  auto group = rig.group("a");
  constexpr int times = 50;
  auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i)
    REQUIRE(group.stats(false).ok());
  auto each = (std::chrono::steady_clock::now() - began) / times;
  auto each_us = std::chrono::duration<double, std::micro>(each).count();
  WARN(each_us << " us for one container's statistics");
  CHECK(each < tests::scaled(5ms)); // cgroupfs may wait for a lock of a busy host; usual is 0.2 ms
}
