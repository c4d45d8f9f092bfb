#include "io/pump.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <sys/resource.h>

#include "tests/io/pump_rig.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace gantry::io::testing;
using namespace std::chrono_literals;

namespace {

std::string lines_between(int from, int to) {
  std::string out;
  for (int i = from; i < to; ++i)
    out += "line " + std::to_string(i) + "\n";
  return out;
}

/// While it lives, no file may grow beyond `bytes`: writes fail with EFBIG.
class disk_limit {
public:
  explicit disk_limit(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~disk_limit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
  rlimit before_{};
};

/// Every line must be one that was written, whole, in rising order. @returns their numbers.
std::vector<int> whole_lines(const std::string& bytes) {
  std::vector<int> out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = bytes.find('\n', at);
    REQUIRE(end != std::string::npos);
    const std::string line = bytes.substr(at, end - at);
    const int n = std::atoi(line.c_str() + 5);
    if (line != "line " + std::to_string(n) || (!out.empty() && n <= out.back()))
      FAIL("not a line that was written: \"" << line << "\"");
    out.push_back(n);
    at = end + 1;
  }
  return out;
}

} // namespace

TEST_CASE_METHOD(pump_rig, "pump: a full disk under a drop policy stops no writer, counts what is "
                           "lost, and keeps lines whole",
                 "[uring]") {
  const auto format = GENERATE(log_format::json_file, log_format::cri, log_format::raw);
  const auto when_full = GENERATE(log_full::drop_oldest, log_full::drop_newest);
  INFO(name_of(format) << (when_full == log_full::drop_oldest ? " drop-oldest" : " drop-newest"));
  log_policy policy;
  policy.format = format;
  policy.when_full = when_full;
  pump p(the_loop, keeper, pool, policy);
  int blocked = 0, unblocked = 0, dropped = 0;
  pump::events on;
  on.blocked = [&blocked](const error&) { ++blocked; };
  on.unblocked = [&unblocked] { ++unblocked; };
  on.dropped = [&dropped](const log_totals&) { ++dropped; };
  REQUIRE(p.begin(7, dir.path(), pipes(), on).ok());
  const std::string all = lines_between(0, 400'000);
  REQUIRE(all.size() > (4u << 20));
  {
    const disk_limit limit(50'000);
    const auto began = std::chrono::steady_clock::now();
    write(0, all); // The disk takes next to nothing, and the writer comes to his end.
    CHECK(std::chrono::steady_clock::now() - began < 15s);
    CHECK(blocked == 1);
    CHECK(dropped > 0);
    CHECK(p.totals().dropped[0] > all.size() / 2);
  }
  REQUIRE(until([&unblocked] { return unblocked == 1; }));
  write(0, "line 1000000\n");
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  CHECK(unblocked == 1);
  const auto log = read_log(dir.path(), format);
  if (format != log_format::raw) { // A refused write may have left bytes behind its index.
    CHECK(log.damage.empty());
    const auto lines = whole_lines(log.bytes[0]);
    if (when_full == log_full::drop_newest)
      CHECK(lines.front() == 0);
    CHECK(lines.back() == 1'000'000);
  }
  CHECK(log.bytes[0].size() == p.totals().bytes[0]);
  CHECK(p.totals().dropped[0] + p.totals().bytes[0] == all.size() + 13);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: a rate is kept, and the writer waits", "[uring]") {
  const auto format = GENERATE(log_format::json_file, log_format::raw);
  log_policy policy;
  policy.format = format;
  policy.rate_bytes = uint64_t(100'000 / tests::slower()); // Less than a slow machine writes.
  policy.burst_bytes = 20'000;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  const std::string all = lines_between(0, 20'000);
  const auto began = std::chrono::steady_clock::now();
  write(0, all);
  REQUIRE(until([&] { return p.totals().bytes[0] >= 150'000; }));
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(took > 1s); // (150,000 - 20,000) / 100,000 a second, less the last batch.
  CHECK(p.totals().limited > 300ms);
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p)); // Last words do not wait.
  CHECK(read_log(dir.path(), format).bytes[0] == all);
  CHECK(p.totals().dropped[0] == 0);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: over its rate a log under a drop policy loses whole lines",
                 "[uring]") {
  const auto when_full = GENERATE(log_full::drop_oldest, log_full::drop_newest);
  log_policy policy;
  policy.rate_bytes = uint64_t(100'000 / tests::slower());
  policy.when_full = when_full;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  const std::string all = lines_between(0, 800'000);
  const auto began = std::chrono::steady_clock::now();
  write(0, all);
  CHECK(std::chrono::steady_clock::now() - began < tests::scaled(20s)); // At its rate: 100 s.
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  const auto log = read_log(dir.path());
  const auto lines = whole_lines(log.bytes[0]);
  CHECK(lines.front() == 0);
  CHECK(p.totals().dropped[0] > 0);
  CHECK(p.totals().dropped[0] + p.totals().bytes[0] == all.size());
  if (when_full == log_full::drop_oldest)
    CHECK(lines.back() == 799'999);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: a rate that is used up costs few writes, however short the lines",
                 "[uring]") {
  log_policy policy;
  policy.rate_bytes = 64u << 10;
  policy.burst_bytes = 4096;
  int writes = 0;
  pump::events on;
  on.grown = [&writes] { ++writes; };
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(7, dir.path(), pipes(), on).ok());
  std::string all;
  for (int i = 0; i < 15'000; ++i)
    all += "y\n";
  write(0, all);
  REQUIRE(until([&] { return p.totals().bytes[0] >= 20'000; }));
  CHECK(writes <= 20); // Of 1 KiB each, not of a line.
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  CHECK(read_log(dir.path()).bytes[0] == all);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: a file that is old enough is followed by a new one", "[uring]") {
  log_policy policy;
  policy.max_age = 100ms;
  pump p(the_loop, keeper, pool, policy);
  uint64_t rotated = 0;
  pump::events on;
  on.rotated = [&rotated](uint64_t seq) { rotated = seq; };
  REQUIRE(p.begin(7, dir.path(), pipes(), on).ok());
  write(0, "one\n");
  CHECK(drain(p));
  bool past = false;
  timer wait(the_loop);
  wait.start(150ms, [&past] { past = true; });
  REQUIRE(until([&past] { return past; }));
  write(0, "two\n");
  CHECK(drain(p));
  CHECK(p.totals().file_seq == 2);
  CHECK(rotated == 2);
  CHECK(read_log(dir.path()).bytes[0] == "one\ntwo\n");
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: a reopen begins a new file, and the old one is left alone",
                 "[uring]") {
  const auto format = GENERATE(log_format::json_file, log_format::raw);
  log_policy policy;
  policy.format = format;
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  write(0, "one\n");
  CHECK(drain(p));
  std::filesystem::rename(log_file_path(dir.path(), 1), dir.path() + "/taken");
  const auto size = std::filesystem::file_size(dir.path() + "/taken");
  uint64_t now = 0;
  p.reopen([&now](uint64_t seq) { now = seq; });
  REQUIRE(until([&now] { return now != 0; }));
  CHECK(now == 2);
  p.reopen([&now](uint64_t seq) { now = seq + 100; }); // An empty one serves.
  REQUIRE(until([&now] { return now >= 100; }));
  CHECK(now == 102);
  write(0, "two\n");
  CHECK(drain(p));
  CHECK(std::filesystem::file_size(dir.path() + "/taken") == size);
  CHECK(file_text(log_file_path(dir.path(), 2)).find("two") != std::string::npos);
  finish(p);
  now = 7;
  p.reopen([&now](uint64_t seq) { now = seq; });
  REQUIRE(until([&now] { return now == 0; }));
}

TEST_CASE_METHOD(pump_rig,
                 "pump: a file moved or removed while it was closed is followed by a new one",
                 "[uring]") {
  const auto format = GENERATE(log_format::json_file, log_format::raw);
  const bool with_its_directory = GENERATE(false, true);
  log_policy policy;
  policy.format = format;
  auto ends = pipes();
  const int again[2] = {::fcntl(ends[0].get(), F_DUPFD_CLOEXEC, 0),
                        ::fcntl(ends[1].get(), F_DUPFD_CLOEXEC, 0)};
  {
    pump p(the_loop, keeper, pool, policy);
    REQUIRE(p.begin(7, dir.path(), std::move(ends), {}).ok());
    write(0, "one\n");
    REQUIRE(until([&p] { return p.totals().bytes[0] == 4; }));
    stop(p);
  }
  const std::string taken = dir.path() + "/taken";
  const auto size = std::filesystem::file_size(log_file_path(dir.path(), 1));
  if (with_its_directory)
    std::filesystem::remove_all(dir.path());
  else
    std::filesystem::rename(log_file_path(dir.path(), 1), taken);
  pump p(the_loop, keeper, pool, policy);
  REQUIRE(p.resume(7, dir.path(), {fd(*kernel, again[0]), fd(*kernel, again[1])}, {}).ok());
  write(0, "two\n");
  REQUIRE(until([&p] { return p.totals().bytes[0] == 8; }));
  CHECK(p.totals().file_seq == 2);
  if (!with_its_directory)
    CHECK(std::filesystem::file_size(taken) == size);
  CHECK_FALSE(std::filesystem::exists(log_file_path(dir.path(), 1)));
  const auto text = file_text(log_file_path(dir.path(), 2));
  CHECK(text.find("two") != std::string::npos);
  CHECK(text.find('\0') == std::string::npos);
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  finish(p);
}
