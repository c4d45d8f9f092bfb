#include <algorithm>
#include <catch2/catch.hpp>

#include "runtime/health_policy.hpp"

using namespace gantry::runtime;

TEST_CASE("health: a failure while the container was kept from its CPUs is one for want of them") {
  probe_result r;
  r.what = probe_result::label::timeout;
  r.ended_ns = 1'000'000'000;
  CHECK_FALSE(is_throttled(r, 0));
  CHECK_FALSE(is_throttled(r, 99'000'000));
  CHECK(is_throttled(r, 100'000'000));
  r.what = probe_result::label::failed;
  r.exit_code = 1;
  CHECK(is_throttled(r, 500'000'000));
  r.exit_code = 127; // It is not there, however long one waits.
  CHECK_FALSE(is_throttled(r, 500'000'000));
  r.what = probe_result::label::passed;
  CHECK_FALSE(is_throttled(r, 500'000'000));
}

TEST_CASE("health: first runs are spread, by the same parts for the same seed") {
  health_policy policy;
  policy.probes = {default_probe(health_profile::docker_current, probe_role::check)};
  const auto first = [&policy](uint64_t seed, double share) {
    auto state = begin_health(policy, 0);
    spread_health(policy, state, seed, share);
    return state.probes[0].next_ns;
  };
  const auto interval = policy.probes[0].interval_ns;
  CHECK(first(1, 0) == interval);
  CHECK(first(1, 0.5) == first(1, 0.5));
  int64_t least = INT64_MAX;
  int64_t most = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    least = std::min(least, first(seed, 0.5));
    most = std::max(most, first(seed, 0.5));
  }
  CHECK(least >= interval);
  CHECK(least < interval + interval / 50);
  CHECK(most > interval + interval / 2 - interval / 50);
  CHECK(most <= interval + interval / 2);
  auto state = begin_health(policy, 0);
  state.probes[0].results.emplace_back();
  spread_health(policy, state, 1, 1);
  CHECK(state.probes[0].next_ns == interval); // It runs at its time now.
}
