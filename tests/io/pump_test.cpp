#include "io/pump.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "io/log_state.hpp"
#include "tests/io/pump_rig.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace gantry::io::testing;

namespace {

std::string numbered_lines(int from, int to) {
  std::string out;
  for (int i = from; i < to; ++i)
    out += "line " + std::to_string(i) + "\n";
  return out;
}

std::string random_bytes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::string out(count, '\0');
  for (char& c : out)
    c = static_cast<char>(random());
  return out;
}

} // namespace

TEST_CASE_METHOD(pump_rig, "pump: lines of both streams come into the log byte for byte",
                 "[uring]") {
  pump p(the_loop, keeper, pool, {});
  std::array<int, 2> closed{};
  int grown = 0;
  pump::events on;
  on.closed = [&closed](int s) { ++closed[static_cast<size_t>(s)]; };
  on.grown = [&grown] { ++grown; };
  REQUIRE(p.begin(7, dir.path(), pipes(), on).ok());
  write(0, numbered_lines(0, 5000));
  write(1, "an error\nand a last word without a newline");
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  CHECK(closed == std::array<int, 2>{1, 1});
  CHECK(grown > 0);
  const auto log = read_log(dir.path());
  CHECK(log.damage.empty());
  CHECK(log.bytes[0] == numbered_lines(0, 5000));
  CHECK(log.bytes[1] == "an error\nand a last word without a newline");
  CHECK(p.totals().bytes == std::array<uint64_t, 2>{log.bytes[0].size(), log.bytes[1].size()});
  CHECK(p.totals().closed == std::array<bool, 2>{true, true});
  finish(p);
  CHECK(p.totals().bytes[0] == log.bytes[0].size());
  CHECK(pool.used() == 0);
  log_totals gone;
  CHECK_FALSE(totals_in_arena(memory.view(), 7, gone));
}

TEST_CASE_METHOD(pump_rig, "pump: the drain of silent pipes ends without touching the disk",
                 "[uring]") {
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  writer[0].reset();
  writer[1].reset();
  bool done = false;
  p.drain([&done](bool io_open) {
    CHECK_FALSE(io_open);
    done = true;
  });
  CHECK_FALSE(done); // Never from inside the call.
  the_loop.turn(false);
  the_loop.turn(false);
  CHECK(done);
  CHECK(std::filesystem::is_empty(dir.path()));
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: a drain does not wait for a survivor", "[uring]") {
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  write(0, "whole\nhalf");
  writer[1].reset();
  CHECK(drain(p));
  CHECK(p.totals().bytes[0] == 10); // The last words of who has ended, whole or not.
  CHECK(p.totals().closed == std::array<bool, 2>{false, true});
  CHECK(read_log(dir.path()).bytes[0] == "whole\nhalf");
  bool ended = false;
  p.at_end([&ended] { ended = true; });
  write(0, " and more");
  for (int i = 0; i < 5; ++i)
    the_loop.turn(false);
  CHECK_FALSE(ended);
  writer[0].reset(); // The survivor leaves.
  while (!ended)
    the_loop.turn(true);
  CHECK(read_log(dir.path()).bytes[0] == "whole\nhalf and more");
  CHECK(p.totals().bytes[0] == 19);
  finish(p);
  CHECK(pool.used() == 0);
}

TEST_CASE_METHOD(pump_rig, "pump: bytes that are no text, in writes of any size, are kept",
                 "[uring]") {
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  const std::string all = random_bytes(300'000, 1);
  std::mt19937 random(2);
  for (size_t at = 0; at < all.size();) {
    const size_t n =
      std::min<size_t>(1 + random() % (random() % 3 == 0 ? 20'000 : 20), all.size() - at);
    write(0, std::string_view(all).substr(at, n));
    at += n;
    the_loop.turn(false);
  }
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  const auto log = read_log(dir.path());
  CHECK(log.damage.empty());
  CHECK(log.bytes[0] == all);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: files rotate at a record's end and the oldest go", "[uring]") {
  log_policy policy;
  policy.max_file_bytes = 64 * 1024;
  policy.max_files = 3;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  for (int i = 0; i < 100; ++i) {
    write(0, numbered_lines(i * 1000, (i + 1) * 1000));
    CHECK_FALSE(!drain(p));
  }
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  const uint64_t last = p.totals().file_seq;
  finish(p);
  CHECK(last > 10);
  std::vector<uint64_t> files;
  REQUIRE(list_log_files(*kernel, dir.path(), files) == 0);
  CHECK(files == std::vector<uint64_t>{last - 2, last - 1, last});
  std::string kept;
  for (const uint64_t seq : files) {
    std::ifstream file(log_file_path(dir.path(), seq));
    for (std::string line; std::getline(file, line);) {
      log_piece piece;
      REQUIRE(parse_record(line, piece));
      kept += piece.bytes;
    }
  }
  const std::string all = numbered_lines(0, 100'000);
  CHECK(all.ends_with(kept));
  CHECK(kept.size() > 20'000);
}

TEST_CASE_METHOD(pump_rig, "pump: a new log in an old directory begins behind the last file",
                 "[uring]") {
  std::ofstream(log_file_path(dir.path(), 4)) << "old\n";
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  CHECK(p.totals().file_seq == 5);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: after a stop, another goes on where the first was", "[uring]") {
  auto ends = pipes();
  const int again[2] = {::fcntl(ends[0].get(), F_DUPFD_CLOEXEC, 0),
                        ::fcntl(ends[1].get(), F_DUPFD_CLOEXEC, 0)};
  {
    pump p(the_loop, keeper, pool, {});
    REQUIRE(p.begin(7, dir.path(), std::move(ends), {}).ok());
    write(0, "one\ntw");
    REQUIRE(until([&p] { return p.totals().bytes[0] == 4; }));
    stop(p);
  }
  log_totals kept;
  REQUIRE(totals_in_arena(memory.view(), 7, kept));
  CHECK(kept.bytes[0] == 4);
  write(0, "o\nthree\n");
  writer[0].reset();
  writer[1].reset();
  {
    block_pool fresh(memory.view());
    CHECK(fresh.used() == 1); // The half line.
    pump p(the_loop, keeper, fresh, {});
    REQUIRE(p.resume(7, dir.path(), {fd(*kernel, again[0]), fd(*kernel, again[1])}, {}).ok());
    CHECK_FALSE(drain(p));
    CHECK(read_log(dir.path()).bytes[0] == "one\ntwo\nthree\n");
    finish(p);
    CHECK(fresh.used() == 0);
  }
}

TEST_CASE_METHOD(pump_rig, "pump: packets and a thief at the pipe harm nobody", "[uring]") {
  pump p(the_loop, keeper, pool, {});
  auto ends = pipes();
  const std::string self = "/proc/self/fd/" + std::to_string(ends[0].get());
  const int thief = ::open(self.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(thief >= 0);
  REQUIRE(p.begin(7, dir.path(), std::move(ends), {}).ok());
  ::fcntl(writer[0].get(), F_SETFL, O_DIRECT | O_NONBLOCK);
  std::string all;
  for (int i = 0; i < 10; ++i) {
    const std::string packet = "packet " + std::to_string(i) + " and its words\n";
    REQUIRE(::write(writer[0].get(), packet.data(), packet.size()) == ssize_t(packet.size()));
    all += packet;
  }
  CHECK(drain(p));
  CHECK(read_log(dir.path()).bytes[0] == all);
  char stolen[8];
  REQUIRE(::write(writer[0].get(), "secret\n", 7) == 7);
  CHECK(::read(thief, stolen, sizeof(stolen)) == 7);
  CHECK(drain(p));
  ::close(thief);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: an unknown serial cannot be resumed, a full table not begun",
                 "[uring]") {
  pump p(the_loop, keeper, pool, {});
  const auto unknown = p.resume(99, dir.path(), {}, {});
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.why().code == ec::not_found);
  std::vector<log_state> all;
  for (uint64_t i = 1; log_state x = log_state::take(memory.view(), i); ++i)
    all.push_back(x);
  CHECK(all.size() == small_shape().log_slots);
  const auto full = p.begin(100, dir.path(), {}, {});
  REQUIRE_FALSE(full.ok());
  CHECK(full.why().code == ec::resource_exhausted);
  discard_slot(memory.view(), pool, 3);
  CHECK(p.begin(100, dir.path(), {}, {}).ok());
  finish(p);
}
