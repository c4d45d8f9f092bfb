#include "runtime/pressure.hpp"

#include <catch2/catch.hpp>
#include <csignal>

#include "host_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

using resource = pressure_trigger::resource;

TEST_CASE("pressure: thresholds in words, there and back") {
  const pressure_trigger memory{resource::memory, true, 150'000'000, 2'000'000'000};
  CHECK(*parse_pressure("memory:full:150ms/2s") == memory);
  CHECK(text_of(memory) == "memory:full:150ms/2s");
  const pressure_trigger cpu{resource::cpu, false, 500'000, 500'000'000};
  CHECK(*parse_pressure("cpu:500us/500ms") == cpu);
  CHECK(*parse_pressure("cpu:some:500µs/500ms") == cpu);
  CHECK(text_of(cpu) == "cpu:some:500us/500ms");
  CHECK(parse_pressure("io:some:10s/10s")->stall_ns == 10'000'000'000);
  CHECK(parse_pressure("memory.high")->what == resource::memory_high);
  CHECK(text_of(*parse_pressure("memory.high")) == "memory.high");
}

TEST_CASE("pressure: what makes no sense is refused with what would") {
  for (const auto* text :
       {"", "memory", "memory:", "memory:some", "memory:150ms", "disk:some:1s/2s", "cpu:most:1s/2s",
        "cpu:some:1s", "cpu:some:/2s", "cpu:some:1s/", "cpu:some:-1s/2s", "cpu:some:1h/2s",
        "cpu:some:9999999999s/2s", "cpu:some:1.5s/2s", "memory.high:1s/2s", "cpu:some:1s/2s/3s"}) {
    INFO(text);
    const auto x = parse_pressure(text);
    REQUIRE_FALSE(x.ok());
    CHECK(x.why().code == ec::invalid_argument);
    CHECK(x.why().text().find("memory:some:150ms/2s") != std::string::npos);
  }
  CHECK(parse_pressure("cpu:some:1s/400ms").why().text().find("500ms") != std::string::npos);
  CHECK(parse_pressure("cpu:some:1s/11s").why().text().find("10s") != std::string::npos);
  CHECK(parse_pressure("cpu:some:3s/2s").why().text().find("no longer") != std::string::npos);
  v1::ContainerSpec spec;
  for (size_t i = 0; i <= max_pressure_triggers; ++i)
    spec.add_pressure("memory.high");
  CHECK_FALSE(pressure_of(spec).ok());
  spec.mutable_pressure()->RemoveLast();
  CHECK(pressure_of(spec)->size() == max_pressure_triggers);
}

TEST_CASE("pressure: the kernel tells when a container waits for its CPU", "[root][runc]") {
  engine_rig rig;
  auto spec = rig.spec({"/bin/sh", "-c", "while :; do :; done & while :; do :; done"});
  spec.mutable_resources()->set_nano_cpus(200'000'000);
  auto made = rig.create("a", spec, true);
  REQUIRE(made.ok());
  cgroup_watch watch(*rig.loop, rig.cgroups);
  std::vector<pressure_sample> told;
  REQUIRE(watch
            .watch_pressure(rig.group("a").path(), *parse_pressure("cpu:some:100ms/2s"), 0,
                            [&told](const pressure_sample& x) { told.push_back(x); })
            .ok());
  CHECK(rig.until([&told] { return told.size() > 1; }));
  CHECK(told.back().total_us > told.front().total_us);
  const auto high = watch.watch_pressure(rig.group("a").path(), *parse_pressure("memory.high"), 0,
                                          [](const pressure_sample&) {});
  CHECK(high.ok() == (rig.cgroups.mode == cgroup_mode::v2));
  if (!high)
    CHECK(high.why().code == ec::unsupported);
  // Bit 24 of the effective set is CAP_SYS_RESOURCE.
  std::string status;
  REQUIRE(rig.loop->sys().read_small("/proc/self/status", status) >= 0);
  const auto caps = std::stoull(status.substr(status.find("CapEff:") + 7), nullptr, 16);
  const auto quick = watch.watch_pressure(rig.group("a").path(), *parse_pressure("cpu:100ms/1s"), 0,
                                          [](const pressure_sample&) {});
  CHECK(quick.ok() == ((caps >> 24 & 1) == 1));
  if (!quick)
    CHECK(quick.why().text().find("CAP_SYS_RESOURCE") != std::string::npos);
  const auto gone = watch.watch_pressure("/no/such/group", *parse_pressure("io:100ms/1s"), 0,
                                          [](const pressure_sample&) {});
  CHECK(gone.why().code == ec::unsupported);
  bool stopped = false;
  watch.stop([&stopped] { stopped = true; });
  CHECK(rig.until([&stopped] { return stopped; }));
  const auto before = told.size();
  REQUIRE(rig.group("a").kill_all().ok());
  rig.end_of(*made);
  CHECK(told.size() == before);
}
