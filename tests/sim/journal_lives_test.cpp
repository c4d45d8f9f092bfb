// The journal over the simulated kernel: what was appended is there in every later life.

#include <catch2/catch.hpp>

#include "runtime/journal.hpp"
#include "tests/sim/sim_life.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using sim::life;

namespace {

/// A sum of nothing: this journal's records mean nothing.
class empty_snapshot final : public runtime::snapshot_pieces {
public:
  bool more(std::string&, size_t) override { return false; }
};

/// One life of the journal: checks what it recovers against `kept`, then appends until it is
/// killed or has had enough. Every append that returned is in `kept` afterwards.
void live(sim::machine& m, std::vector<std::string>& kept, uint64_t kill_at, bool last) {
  life here(m, kill_at);
  {
    uint64_t from = 0;
    std::vector<std::string> found;
    runtime::journal_policy policy;
    policy.segment_bytes = 8u << 10;
    policy.spare_bytes = 4u << 10;
    runtime::recovery_report report;
    auto opened = runtime::journal_file::open(
      here.loop, here.shelf.memory(), "/var/lib/journal", m.boot_id, policy,
      [&](journal::Snapshot s) { from = s.seq(); },
      [&](const journal::Record& r) {
        CHECK(r.seq() == from + found.size() + 1);
        found.push_back(r.process());
      },
      report);
    if (opened.ok()) {
      auto& j = **opened;
      j.on_snapshot([] { return std::make_unique<empty_snapshot>(); });
      if (!here.dead()) {
        REQUIRE(from + found.size() >= kept.size());
        // At most the one append that was under way at the kill is more than was promised.
        CHECK(from + found.size() <= kept.size() + 1);
        for (size_t i = 0; i < found.size() && from + i < kept.size(); ++i)
          CHECK(found[i] == kept[from + i]);
        kept.resize(from + found.size());
        for (size_t i = 0; i < found.size(); ++i)
          kept[from + i] = found[i];
      }
      for (int i = 0; i < 60 && !here.dead() && !last; ++i) {
        journal::Record r;
        r.set_process(std::to_string(m.rng.next()) + std::string(m.rng.below(300), 'p'));
        r.mutable_stdin_closed();
        j.append(r);
        if (!here.dead())
          kept.push_back(r.process());
        for (uint64_t n = m.rng.below(4); n > 0; --n)
          here.loop.turn(m.rng.chance(0.5));
      }
      bool rest = false;
      j.stop([&] { rest = true; });
      while (!rest)
        here.loop.turn(true);
    } else {
      INFO(opened.why().text());
      CHECK(here.dead());
    }
  }
  here.bury();
}

} // namespace

TEST_CASE("the journal has every record that was appended before the kill", "[sim]") {
  const uint64_t runs = sim::env_number("GANTRY_SIM_KILLS", 200);
  const uint64_t base = sim::env_number("GANTRY_SEED", 1000);
  for (uint64_t seed = base; seed < base + runs; ++seed) {
    INFO("GANTRY_SEED=" << seed);
    sim::machine_options o;
    o.seed = seed;
    sim::dice d(seed);
    if (d.chance(0.5)) {
      o.faults.short_write = o.faults.interrupted = 0.05;
      o.faults.slow_disk = 0.01;
    }
    sim::machine m(o);
    m.files.mkdirs("/var/lib/journal");
    std::vector<std::string> kept;
    for (int i = 0; i < 6; ++i)
      live(m, kept, d.between(1, 600), false);
    live(m, kept, 0, true);
  }
}
