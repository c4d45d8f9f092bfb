#pragma once

#include <cstdint>

#include "tests/sim/lives/story.hpp"

namespace gantry::sim {

/// What a run has to endure.
enum class run_kind : uint8_t { kind, kills, faults, both };

/// Sums over runs.
struct run_totals {
  uint64_t containers = 0;
  uint64_t kills = 0;
  uint64_t requests = 0;
  uint64_t events = 0;
};

/// One world from its seed: stories told at once, kills and faults between, a rest, a restart,
/// then the checks. Everything follows from the seed.
findings run_one(uint64_t seed, run_kind kind, run_totals& sum,
                 broken canary = broken::nothing);

/// One container's life from create to removal, the supervisor killed once, at its `kill_at`th
/// call. `reached` tells whether there were so many.
findings run_killed_at(uint64_t kill_at, bool hybrid, run_totals& sum, bool& reached);

} // namespace gantry::sim
