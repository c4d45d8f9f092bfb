// The pump over the simulated kernel: killed at any call, with faults, byte-exact.

#include <catch2/catch.hpp>

#include "io/json_log.hpp"
#include "io/log_files.hpp"
#include "tests/sim/sim_life.hpp"
#include "tests/sim/sim_programs.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using sim::life;

namespace {

const std::string log_dir = "/var/lib/log";
constexpr io::shelf_key key{io::shelf_kind::stdio, 7};

/// What the log files say, by stream.
std::array<std::string, 2> logged(const sim::machine& m) {
  std::array<std::string, 2> out;
  std::vector<std::string> names;
  m.files.list(log_dir, names);
  for (const auto& name : names) {
    const std::string all = m.files.get(log_dir + "/" + name);
    for (size_t at = 0; at < all.size();) {
      const size_t end = all.find('\n', at);
      REQUIRE(end != std::string::npos);
      io::log_piece piece;
      REQUIRE(io::parse_record(std::string_view(all).substr(at, end - at), piece));
      out[piece.stream - 1] += piece.bytes;
      at = end + 1;
    }
  }
  return out;
}

/// A process with pipes as stdout and stderr, whose read ends lie on the shelf.
sim::process_ptr start_writer(sim::machine& m, const std::vector<std::string>& argv) {
  auto p = m.fork(m.keeper_process());
  sim::keeper::kept ends;
  for (int stream : {1, 2}) {
    auto pipe = std::make_shared<sim::pipe>();
    pipe->keep_history = true;
    ends.fds.push_back(std::make_shared<sim::pipe_end>(pipe, false));
    p->fds[stream] = std::make_shared<sim::pipe_end>(pipe, true);
    p->streams[size_t(stream)] = pipe;
  }
  m.shelf_keeper.shelf[key] = ends;
  p->argv = argv;
  p->body = (*m.container_program("work"))(*p);
  p->after(0ns, [raw = p.get()] { raw->body->start(*raw); });
  return p;
}

/// One life of the pump; true when the log is finished.
bool live(sim::machine& m, bool first, uint64_t kill_at) {
  life here(m, kill_at);
  bool finished = false;
  {
    io::block_pool pool(here.shelf.memory());
    io::log_policy policy;
    policy.max_file_bytes = 32u << 10;
    policy.max_files = 1000;
    io::pump pump(here.loop, here.shelf, pool, policy);
    auto ended = [&] { return pump.totals().closed[0] && pump.totals().closed[1]; };
    const io::pump::events on{[] {}, [](int) {}, [](const error&) {}, [] {}};
    auto entries = here.shelf.list();
    if (entries && entries->size() == 1 && (*entries)[0].fds.size() == 2) {
      std::array<io::fd, 2> fds{std::move((*entries)[0].fds[0]), std::move((*entries)[0].fds[1])};
      auto begun = first ? pump.begin(7, log_dir, std::move(fds), on)
                         : pump.resume(7, log_dir, std::move(fds), on);
      if (begun.ok() && here.until(ended)) {
        bool rest = false;
        pump.finish([&] { rest = true; });
        finished = here.until([&] { return rest; });
      }
    }
    if (here.dead()) {
      bool rest = false;
      pump.stop([&] { rest = true; });
      while (!rest)
        here.loop.turn(true);
    }
  }
  here.bury();
  io::log_totals t; // A life may end after the last step, but before we hear of it.
  return !first && !finished ? !io::totals_in_arena(m.shelf_keeper.memory(), 7, t) : finished;
}

} // namespace

TEST_CASE("the pump loses and doubles no byte when it is killed at any call", "[sim]") {
  const uint64_t runs = sim::env_number("GANTRY_SIM_KILLS", 300);
  const uint64_t base = sim::env_number("GANTRY_SEED", 1000);
  uint64_t kills = 0;
  for (uint64_t seed = base; seed < base + runs; ++seed) {
    INFO("GANTRY_SEED=" << seed);
    sim::machine_options o;
    o.seed = seed;
    sim::dice d(seed);
    if (d.chance(0.5)) {
      o.faults.short_write = o.faults.interrupted = o.faults.short_read = 0.05;
      o.faults.slow_disk = 0.01;
      o.faults.no_space = d.chance(0.3) ? 0.02 : 0;
    }
    sim::machine m(o);
    sim::install_work(m);
    m.files.mkdirs(log_dir);
    const auto writer = start_writer(m, {"work", "out=" + std::to_string(d.below(60'000)),
                                         "err=" + std::to_string(d.below(9'000)), "after=3ms"});
    bool done = false;
    io::log_totals t;
    // A life that ended before the slot was taken is followed by one that begins again.
    while (!done && !io::totals_in_arena(m.shelf_keeper.memory(), 7, t))
      done = live(m, true, d.between(1, 200));
    for (int i = 0; !done; ++i) {
      ++kills;
      done = live(m, false, i < 40 ? d.between(1, d.chance(0.2) ? 20 : 400) : 0);
      REQUIRE(i < 60);
    }
    const auto log = logged(m);
    CHECK(log[0] == writer->streams[1]->taken_in);
    CHECK(log[1] == writer->streams[2]->taken_in);
    m.shelf_keeper.shelf.clear();
  }
  WARN("pump: " << runs << " logs, " << kills << " kills");
}
