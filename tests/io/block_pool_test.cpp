#include "io/pump.hpp"

#include <catch2/catch.hpp>

#include "io/log_state.hpp"
#include "tests/io/pump_rig.hpp"

using namespace gantry::io;
using namespace gantry::io::testing;

TEST_CASE("block_pool: gives every block once, small and large apart") {
  const shared_arena memory(small_shape());
  block_pool pool(memory.view());
  std::vector<bool> seen(static_cast<size_t>(memory.view().block_count()));
  for (const bool large : {false, true})
    for (int32_t i = pool.take(large); i >= 0; i = pool.take(large)) {
      CHECK(memory.view().is_large(i) == large);
      CHECK_FALSE(seen[static_cast<size_t>(i)]);
      seen[static_cast<size_t>(i)] = true;
    }
  CHECK(pool.used() == seen.size());
  CHECK(pool.scarce());
  for (size_t i = 0; i < seen.size(); ++i)
    pool.give(static_cast<int32_t>(i));
  CHECK(pool.used() == 0);
  CHECK_FALSE(pool.scarce());
}

TEST_CASE("block_pool: a block that was given back takes no memory") {
  const shared_arena memory(small_shape());
  block_pool pool(memory.view());
  const uint64_t before = memory.resident();
  const int32_t block = pool.take(true);
  for (char& c : memory.view().block(block))
    c = 'x';
  CHECK(memory.resident() >= before + (1u << 20));
  pool.give(block);
  CHECK(memory.resident() <= before + 8192);
}

TEST_CASE("block_pool: after a crash it knows what the logs hold, and frees the rest") {
  const shared_arena memory(small_shape());
  const uint64_t before = memory.resident();
  int32_t kept = -1;
  {
    block_pool pool(memory.view());
    log_state state = log_state::take(memory.view(), 5);
    kept = pool.take(false);
    const int32_t lost = pool.take(true);
    log_position next = state.at();
    next.block[1] = kept;
    next.tail[1] = 100;
    state.become(next);
    for (const int32_t block : {kept, lost})
      for (char& c : memory.view().block(block))
        c = 'x';
  }
  block_pool pool(memory.view());
  CHECK(pool.used() == 1);
  CHECK(memory.view().block(kept)[99] == 'x');
  CHECK(memory.resident() < before + (160u << 10)); // The kept one and the touched headers.
  for (int32_t i = pool.take(false); i >= 0; i = pool.take(false))
    CHECK(i != kept);
  discard_slot(memory.view(), pool, 5);
  CHECK(pool.take(false) == kept);
}

TEST_CASE("log_state: slots are found by serial, reused, and looked at only when taken") {
  const shared_arena memory(small_shape());
  const arena a = memory.view();
  CHECK(log_state::slots_used(a) == 0);
  log_state first = log_state::take(a, 1);
  REQUIRE(log_state::take(a, 2));
  CHECK(log_state::slots_used(a) == 2);
  CHECK(first.at().block[0] == -1);
  first.free();
  CHECK_FALSE(log_state::find(a, 1));
  CHECK(log_state::find(a, 2));
  CHECK(log_state::take(a, 3));
  CHECK(log_state::slots_used(a) == 2);
  log_totals totals;
  CHECK(totals_in_arena(a, 3, totals));
  CHECK(totals.file_seq == 1);
  CHECK_FALSE(totals_in_arena(a, 4, totals));
}

TEST_CASE("log_state: a damaged position is known as such") {
  const shared_arena memory(small_shape());
  const arena a = memory.view();
  log_state state = log_state::take(a, 1);
  CHECK(state.sound(a));
  const log_position good = state.at();
  const auto damaged = [&](auto&& f) {
    log_position x = good;
    f(x);
    state.become(x);
    return !state.sound(a);
  };
  CHECK(damaged([](log_position& x) { x.block[0] = 1000; }));
  CHECK(damaged([](log_position& x) { x.block[1] = -2; }));
  CHECK(damaged([](log_position& x) { x.tail[0] = 1; }));
  CHECK(damaged([](log_position& x) { x.block[0] = 0, x.head[0] = 65536, x.tail[0] = 1; }));
  CHECK(damaged([](log_position& x) { x.block[0] = 0, x.tail[0] = 65530, x.batch_bytes = 7; }));
  CHECK(damaged([](log_position& x) { x.batch_stream = 2; }));
  CHECK(damaged([](log_position& x) { x.file_seq = 0; }));
  CHECK_FALSE(damaged([](log_position& x) { x.block[0] = 0, x.head[0] = 65535, x.tail[0] = 1; }));
}
