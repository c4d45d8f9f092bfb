// The pump over the simulated kernel: killed at any call, with faults, byte-exact.

#include <catch2/catch.hpp>

#include "io/json_log.hpp"
#include "io/log_files.hpp"
#include "io/raw_log.hpp"
#include "tests/sim/sim_life.hpp"
#include "tests/sim/sim_programs.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using sim::life;

namespace {

const std::string log_dir = "/var/lib/log";
constexpr io::shelf_key key{io::shelf_kind::stdio, 7};

/// The bytes of a raw file, by its index.
void add_raw(const sim::machine& m, const std::string& path, std::array<std::string, 2>& out) {
  const std::string data = m.files.get(path);
  const std::string index = m.files.get(path + ".idx");
  uint64_t at = 0;
  REQUIRE(index.size() % io::raw_entry_bytes == 0);
  for (size_t i = 0; i < index.size(); i += io::raw_entry_bytes) {
    const auto x = io::read_raw_entry(index.data() + i);
    REQUIRE(x.end > at);
    REQUIRE(x.end <= data.size());
    out[x.stream] += data.substr(at, x.end - at);
    at = x.end;
  }
}

/// What the log files say, by stream.
std::array<std::string, 2> logged(const sim::machine& m, io::log_format format) {
  std::array<std::string, 2> out;
  std::vector<std::string> names;
  m.files.list(log_dir, names);
  for (const auto& name : names) {
    if (format == io::log_format::raw) {
      if (!name.ends_with(".idx"))
        add_raw(m, log_dir + "/" + name, out);
      continue;
    }
    const std::string all = m.files.get(log_dir + "/" + name);
    for (size_t at = 0; at < all.size();) {
      const size_t end = all.find('\n', at);
      REQUIRE(end != std::string::npos);
      io::log_piece piece;
      REQUIRE(io::parse_record(format, std::string_view(all).substr(at, end - at), piece));
      out[piece.stream - 1] += piece.bytes;
      at = end + 1;
    }
  }
  return out;
}

/// A process with pipes as stdout and stderr, whose read ends lie on the shelf.
sim::process_ptr start_writer(sim::machine& m, const std::vector<std::string>& argv,
                              bool packets) {
  auto p = m.fork(m.keeper_process());
  sim::keeper::kept ends;
  for (int stream : {1, 2}) {
    auto pipe = std::make_shared<sim::pipe>();
    pipe->keep_history = true;
    pipe->packets = packets;
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
bool live(sim::machine& m, bool first, uint64_t kill_at, io::log_format format) {
  bool finished = false, rest = false, stopped = false; // Outlive the loop that is told of them.
  life here(m, kill_at);
  {
    io::block_pool pool(here.shelf.memory());
    io::log_policy policy;
    policy.max_file_bytes = 32u << 10;
    policy.max_files = 1000;
    policy.format = format;
    io::pump pump(here.loop, here.shelf, pool, policy);
    auto ended = [&] { return pump.totals().closed[0] && pump.totals().closed[1]; };
    io::pump::events on;
    on.grown = [] {};
    on.closed = [](int) {};
    on.blocked = [](const error&) {};
    on.unblocked = [] {};
    std::array<io::fd, 2> fds;
    if (auto entries = here.shelf.list())
      for (auto& e : *entries) {
        std::array<io::fd, 2> two{std::move(e.fds.at(0)), std::move(e.fds.at(1))};
        if (e.key == key)
          fds = std::move(two);
        else
          pool.the_stage().take(here.kernel, here.shelf.memory(), std::move(two));
      }
    if (fds[0] && fds[1]) {
      auto begun = first ? pump.begin(7, log_dir, std::move(fds), on)
                         : pump.resume(7, log_dir, std::move(fds), on);
      if (begun.ok() && here.until(ended)) {
        pump.finish([&] { rest = true; });
        finished = here.until([&] { return rest; });
      }
    }
    if (here.dead()) {
      pump.stop([&] { stopped = true; });
      while (!stopped)
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
                                         "err=" + std::to_string(d.below(9'000)), "after=3ms"},
                                     d.chance(0.3));
    const auto format = static_cast<io::log_format>(d.below(3));
    bool done = false;
    io::log_totals t;
    // A life that ended before the slot was taken is followed by one that begins again.
    while (!done && !io::totals_in_arena(m.shelf_keeper.memory(), 7, t))
      done = live(m, true, d.between(1, 200), format);
    for (int i = 0; !done; ++i) {
      ++kills;
      done = live(m, false, i < 40 ? d.between(1, d.chance(0.2) ? 20 : 400) : 0, format);
      REQUIRE(i < 60);
    }
    const auto log = logged(m, format);
    CHECK(log[0] == writer->streams[1]->taken_in);
    CHECK(log[1] == writer->streams[2]->taken_in);
    m.shelf_keeper.shelf.clear();
  }
  WARN("pump: " << runs << " logs, " << kills << " kills");
}
