#include "io/pump.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <sys/resource.h>

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

/// While it lives, no file may grow beyond `bytes`: writes fail with EFBIG.
class file_limit {
public:
  explicit file_limit(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~file_limit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
  rlimit before_{};
};

} // namespace

TEST_CASE_METHOD(pump_rig, "pump: an endless line is cut and memory stays bounded", "[uring]") {
  log_policy policy;
  policy.max_line_bytes = 128 * 1024;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  std::string all(3'000'000, 'x');
  for (size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<char>('a' + i % 26);
  write(0, all);
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  CHECK(memory.resident() < (4u << 20));
  const auto log = read_log(dir.path());
  CHECK((log.bytes[0] == all));
  CHECK(log.records == (all.size() + policy.max_line_bytes - 1) / policy.max_line_bytes);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: without large blocks a long line becomes several records",
                 "[uring]") {
  std::vector<int32_t> taken;
  for (int32_t i = pool.take(true); i >= 0; i = pool.take(true))
    taken.push_back(i);
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  const std::string all(1'000'000, 'y');
  write(0, all);
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  CHECK((read_log(dir.path()).bytes[0] == all));
  finish(p);
  for (const int32_t i : taken)
    pool.give(i);
}

TEST_CASE_METHOD(pump_rig, "pump: without any block the writer waits, and nothing is lost",
                 "[uring]") {
  std::vector<int32_t> taken;
  for (const bool large : {false, true})
    for (int32_t i = pool.take(large); i >= 0; i = pool.take(large))
      taken.push_back(i);
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  write(0, "patience\n");
  for (int i = 0; i < 20; ++i)
    the_loop.turn(false);
  CHECK(p.totals().bytes[0] == 0);
  pool.give(taken.back());
  taken.pop_back();
  CHECK(until([&p] { return p.totals().bytes[0] == 9; }));
  finish(p);
  for (const int32_t i : taken)
    pool.give(i);
}

TEST_CASE_METHOD(pump_rig, "pump: a log that is taken up without descriptors goes on later",
                 "[uring]") {
  auto ends = pipes();
  const int again[2] = {::fcntl(ends[0].get(), F_DUPFD_CLOEXEC, 0),
                        ::fcntl(ends[1].get(), F_DUPFD_CLOEXEC, 0)};
  {
    pump p(the_loop, keeper, pool, {});
    REQUIRE(p.begin(7, dir.path(), std::move(ends), {}).ok());
    stop(p);
  }
  write(0, "waited\n");
  writer[0].reset();
  writer[1].reset();
  block_pool fresh(memory.view()); // Another life, whose stage is not there.
  pump p(the_loop, keeper, fresh, {});
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  const auto resumed =
    p.resume(7, dir.path(), {fd(*kernel, again[0]), fd(*kernel, again[1])}, {});
  bool held = true;
  timer past(the_loop);
  past.start(std::chrono::milliseconds(200), [&held] { held = false; });
  while (held)
    the_loop.turn(true);
  const uint64_t meanwhile = p.totals().bytes[0];
  ::setrlimit(RLIMIT_NOFILE, &before);
  REQUIRE(resumed.ok());
  CHECK(meanwhile == 0);
  CHECK_FALSE(drain(p));
  CHECK(read_log(dir.path()).bytes[0] == "waited\n");
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: no file is larger than it may be, but for a single record",
                 "[uring]") {
  log_policy policy;
  policy.max_file_bytes = 10'000;
  policy.max_files = 10'000;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  const std::string all =
    numbered_lines(0, 5'000) + std::string(30'000, 'x') + "\n" + numbered_lines(0, 2'000);
  write(0, all);
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  const auto log = read_log(dir.path());
  CHECK(log.damage.empty());
  CHECK((log.bytes[0] == all));
  uint64_t larger = 0;
  uint64_t smaller = 0;
  for (uint64_t seq = 1; seq <= p.totals().file_seq; ++seq) {
    const auto size = std::filesystem::file_size(log_file_path(dir.path(), seq));
    larger += size > 10'000;
    smaller += size < 9'800;
  }
  CHECK(larger == 1);
  CHECK(smaller <= 2); // The last one, and the one before the long line.
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: a full disk makes the writer wait, and then all is there",
                 "[uring]") {
  pump p(the_loop, keeper, pool, {});
  int blocked = 0, unblocked = 0;
  pump::events on;
  on.blocked = [&blocked](const error& why) {
    ++blocked;
    CHECK(why.message.find("log.000001") != std::string::npos);
  };
  on.unblocked = [&unblocked] { ++unblocked; };
  REQUIRE(p.begin(7, dir.path(), pipes(), on).ok());
  const std::string all = numbered_lines(0, 20'000);
  {
    const file_limit limit(50'000);
    const std::string_view first = std::string_view(all).substr(0, 60'000);
    write(0, first);
    CHECK(until([&blocked] { return blocked == 1; }));
    CHECK(p.totals().bytes[0] < first.size());
  }
  write(0, std::string_view(all).substr(60'000));
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  CHECK(blocked == 1);
  CHECK(unblocked == 1);
  const auto log = read_log(dir.path());
  CHECK(log.damage.empty());
  CHECK(log.bytes[0] == all);
  CHECK(p.totals().dropped[0] == 0);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: an idle log holds no block, no file and no timer", "[uring]") {
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  const uint64_t before = memory.resident();
  write(0, numbered_lines(0, 100'000));
  CHECK(drain(p));
  CHECK(pool.used() > 0);
  CHECK(until([this] { return pool.used() == 0; }));
  CHECK(memory.resident() <= before + 8192);
  const auto holds_file = [this] {
    for (const auto& x : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code ignored;
      if (std::filesystem::read_symlink(x, ignored).string().starts_with(dir.path()))
        return true;
    }
    return false;
  };
  CHECK(holds_file());
  CHECK(until([&holds_file] { return !holds_file(); }));
  write(0, "and it goes on\n");
  CHECK(drain(p));
  CHECK(read_log(dir.path()).bytes[0] == numbered_lines(0, 100'000) + "and it goes on\n");
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: one that is loud does not starve its neighbour", "[uring]") {
  scratch_dir quiet_dir;
  pump loud(the_loop, keeper, pool, {});
  REQUIRE(loud.begin(7, dir.path(), pipes(), {}).ok());
  std::array<fd, 2> loud_writer = std::move(writer);
  pump quiet(the_loop, keeper, pool, {});
  REQUIRE(quiet.begin(8, quiet_dir.path(), pipes(), {}).ok());
  ::fcntl(loud_writer[0].get(), F_SETFL, O_NONBLOCK);
  const std::string much = numbered_lines(0, 100'000);
  write(0, "hello\n");
  int turns = 0;
  while (quiet.totals().bytes[0] == 0 && turns < 10'000) {
    (void)!::write(loud_writer[0].get(), much.data(), 65536);
    the_loop.turn(true);
    ++turns;
  }
  CHECK(quiet.totals().bytes[0] == 6);
  CHECK(turns < 200);
  finish(loud);
  finish(quiet);
}
