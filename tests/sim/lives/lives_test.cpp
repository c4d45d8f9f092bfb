// Thousands of seeded lives of a supervisor with several containers, with faults, killed at
// any call of the kernel. GANTRY_SEED replays one; GANTRY_SIM_LIVES asks for more.

#include <catch2/catch.hpp>
#include <chrono>
#include <ctime>
#include <iostream>

#include "tests/sim/lives/run.hpp"

using namespace gantry;
using namespace std::chrono_literals;

namespace {

/// Runs seeds until the budget is spent; stops at the first that has findings.
void run_seeds(sim::run_kind kind, const char* name, uint64_t runs) {
  const uint64_t base = sim::env_number("GANTRY_SEED", 1);
  if (std::getenv("GANTRY_SEED"))
    runs = sim::env_number("GANTRY_SIM_LIVES", 1);
  sim::run_totals sum;
  const auto began = std::chrono::steady_clock::now();
  const auto cpu_began = std::clock();
  for (uint64_t seed = base; seed < base + runs; ++seed) {
    INFO("replay with GANTRY_SEED=" << seed); // Shown when a check of gantry aborts.
    sim::findings out = sim::run_one(seed, kind, sum);
    if (out.empty())
      continue;
    for (const auto& f : out)
      UNSCOPED_INFO(f);
    FAIL(name << ": replay with GANTRY_SEED=" << seed);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const double cpu = double(std::clock() - cpu_began) / CLOCKS_PER_SEC;
  std::cout << name << ": " << sum.containers << " containers, " << sum.kills << " kills, "
            << sum.requests << " requests, " << sum.events << " events in " << took.count()
            << " s: " << double(sum.containers) / took.count() << " lifecycles a second, "
            << double(sum.containers) / cpu << " a second of CPU\n";
}

} // namespace

TEST_CASE("the checks notice a host that breaks a promise", "[sim]") {
  // The canary: each of these runs must fail, or the checks are worth nothing.
  for (auto what : {sim::broken::a_byte, sim::broken::a_status, sim::broken::a_death,
                    sim::broken::a_file}) {
    sim::run_totals sum;
    size_t noticed = 0;
    for (uint64_t seed = 1; seed <= 10; ++seed)
      noticed += !sim::run_one(seed, sim::run_kind::kind, sum, what).empty();
    INFO("broken: " << int(what));
    CHECK(noticed >= 3);
  }
}

TEST_CASE("one life is killed at every single call", "[sim]") {
  // GANTRY_SIM_KILLS=1 walks through all of them; else every seventh, from a varying start.
  const uint64_t stride = std::getenv("GANTRY_SIM_KILLS") ? 1 : 7;
  const uint64_t from = sim::env_number("GANTRY_SEED", 1);
  sim::run_totals sum;
  for (bool hybrid : {false, true}) {
    bool reached = true;
    for (uint64_t n = from; reached; n += stride) {
      INFO("killed at call " << n << (hybrid ? ", hybrid" : ", v2"));
      const auto out = sim::run_killed_at(n, hybrid, sum, reached);
      for (const auto& f : out)
        UNSCOPED_INFO(f);
      REQUIRE(out.empty());
    }
  }
  CHECK(sum.kills > 50);
}

TEST_CASE("nothing is lost in a kind world", "[sim]") {
  run_seeds(sim::run_kind::kind, "kind", sim::env_number("GANTRY_SIM_LIVES", 200));
}

TEST_CASE("nothing is lost when the supervisor is killed at any call", "[sim]") {
  run_seeds(sim::run_kind::kills, "kills", sim::env_number("GANTRY_SIM_LIVES", 300));
}

TEST_CASE("nothing is lost when the world misbehaves", "[sim]") {
  run_seeds(sim::run_kind::faults, "faults", sim::env_number("GANTRY_SIM_LIVES", 300));
}

TEST_CASE("nothing is lost when everything happens at once", "[sim]") {
  run_seeds(sim::run_kind::both, "kills and faults", sim::env_number("GANTRY_SIM_LIVES", 300));
}
