// Snapshots that are made in pieces over the simulated kernel, with records and kills between the
// pieces: the world of each later life is the sum of all that was recorded, each record once.

#include <catch2/catch.hpp>

#include "runtime/ledger.hpp"
#include "tests/runtime/world_rig.hpp"
#include "tests/sim/sim_life.hpp"

using namespace gantry;
using runtime::testing::same;
using sim::life;

namespace {

/// What was recorded in all lives, and what it adds up to.
struct truth {
  std::vector<journal::Record> records; ///< By seq, from 1 on.
  std::mt19937_64 random;
  runtime::testing::scribe scribe;
  size_t between = 0;   ///< Records that came while a snapshot was in the making.
  size_t cut_short = 0; ///< Lives that ended then.
  size_t from_snapshot = 0;
};

/// Notes whether a snapshot is in the making.
class watched final : public runtime::snapshot_pieces {
public:
  watched(std::unique_ptr<runtime::snapshot_pieces> inner, bool& now)
    : inner_(std::move(inner)), now_(now) {
    now_ = true;
  }
  ~watched() override { now_ = false; }
  bool more(std::string& to, size_t bytes) override { return inner_->more(to, bytes); }

private:
  std::unique_ptr<runtime::snapshot_pieces> inner_;
  bool& now_;
};

runtime::journal_policy small_pieces() {
  runtime::journal_policy policy;
  policy.segment_bytes = 2u << 10;
  policy.spare_bytes = 4u << 10;
  policy.snapshot_piece = 1; // A container a turn.
  return policy;
}

/// The world that was recovered is the sum of the records up to `last`, each once.
void check_world(const runtime::world& w, truth& t, uint64_t last) {
  runtime::world sum;
  for (uint64_t i = 0; i < last; ++i)
    sum.apply(t.records[i]);
  std::string how;
  const bool equal = same(sum.save(), w.save(), &how);
  INFO(how);
  REQUIRE(equal);
}

void record_some(life& here, runtime::ledger& all, truth& t, const bool& packing) {
  for (int i = 0; i < 60 && !here.dead(); ++i) {
    auto r = runtime::testing::random_record(t.scribe, t.random);
    t.between += packing ? 1 : 0;
    all.record(r);
    t.records.resize(r.seq());
    t.records.back() = r;
    for (auto n = t.random() % 3; n > 0 && !here.dead(); --n)
      here.loop.turn(t.random() % 2 == 0);
  }
}

void live(sim::machine& m, truth& t, uint64_t kill_at, bool last) {
  life here(m, kill_at);
  {
    auto made = std::make_unique<runtime::world>();
    auto* w = made.get();
    runtime::recovery_report report;
    auto opened = runtime::journal_file::open(
      here.loop, here.shelf.memory(), "/var/lib/journal", m.boot_id, small_pieces(),
      [w](const journal::Snapshot& s) { w->load(s); },
      [w](const journal::Record& r) { w->apply(r); }, report);
    if (opened.ok()) {
      const auto found = (*opened)->last_seq();
      if (!here.dead()) {
        REQUIRE(found == t.records.size());
        t.from_snapshot += report.snapshot_seq > 0 ? 1 : 0;
        check_world(*w, t, found);
      }
      bool packing = false;
      runtime::ledger all(here.loop, *std::move(opened), std::move(made));
      all.file().on_snapshot([w, &packing] {
        return std::make_unique<watched>(w->pack(), packing);
      });
      if (!last)
        record_some(here, all, t, packing);
      t.cut_short += packing ? 1 : 0;
      bool rest = false;
      all.stop([&] { rest = true; });
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

TEST_CASE("snapshots in pieces: killed between them, each record counts once", "[sim]") {
  const uint64_t runs = sim::env_number("GANTRY_SIM_KILLS", 100);
  const uint64_t base = sim::env_number("GANTRY_SEED", 1000);
  size_t between = 0;
  size_t cut_short = 0;
  size_t from_snapshot = 0;
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
    truth t;
    t.random.seed(seed);
    for (int i = 0; i < 6; ++i)
      live(m, t, d.between(1, 400), false);
    live(m, t, 0, true);
    between += t.between;
    cut_short += t.cut_short;
    from_snapshot += t.from_snapshot;
  }
  WARN(between << " records between pieces, " << cut_short << " lives ended there, "
               << from_snapshot << " began with a snapshot");
  CHECK(between >= runs);
  CHECK(cut_short >= runs / 10);
  CHECK(from_snapshot >= runs / 2);
}
