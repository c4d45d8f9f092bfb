// Thousands of seeded lives of a supervisor with several containers, with faults, killed at
// any call of the kernel. GANTRY_SEED replays one; GANTRY_SIM_LIVES asks for more.

#include <catch2/catch.hpp>
#include <chrono>
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
  std::cout << name << ": " << sum.containers << " containers, " << sum.kills << " kills, "
            << sum.requests << " requests, " << sum.events << " events in " << took.count()
            << " s: " << double(sum.containers) / took.count() << " lifecycles a second\n";
}

} // namespace

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
