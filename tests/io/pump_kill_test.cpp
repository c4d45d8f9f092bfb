#include "tests/io/pump_kill_rig.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>

using namespace gantry;
using namespace gantry::io;
using namespace gantry::io::testing;

namespace {

/// A writer process with its pipe, and the pipe that tells it to write some more.
struct writer {
  manner how;
  uint32_t seed;
  size_t quota; ///< Bytes for each byte of credit.
  bool packets = false; ///< Each write is a packet: it has set O_DIRECT on its stdout.
  int in = -1;  ///< The read end: the parent is the keeper.
  int credit = -1;
  pid_t pid = -1;
};

[[noreturn]] void write_until_told(const writer& w, int out, int credit,
                                   std::atomic<uint64_t>& written) {
  ::dup2(out, 60);
  ::dup2(credit, 61);
  ::syscall(SYS_close_range, 3, 59, 0);
  ::syscall(SYS_close_range, 62, ~0u, 0);
  source from(w.how, w.seed);
  for (char token = 0; ::read(61, &token, 1) == 1;) {
    for (size_t sent = 0; sent < w.quota;) {
      const std::string bytes = from.next();
      for (size_t at = 0; at < bytes.size();) {
        const ssize_t n = ::write(60, bytes.data() + at, bytes.size() - at);
        if (n <= 0)
          ::_exit(1);
        at += static_cast<size_t>(n);
      }
      sent += bytes.size();
      written.fetch_add(bytes.size());
    }
  }
  ::_exit(0);
}

void start(writer& w, std::atomic<uint64_t>& written) {
  int data[2], credit[2];
  REQUIRE(::pipe2(data, O_CLOEXEC) == 0);
  REQUIRE(::pipe2(credit, O_CLOEXEC) == 0);
  if (w.packets)
    ::fcntl(data[1], F_SETFL, O_DIRECT);
  w.pid = fork_clean();
  REQUIRE(w.pid >= 0);
  if (w.pid == 0)
    write_until_told(w, data[1], credit[0], written);
  ::close(data[1]);
  ::close(credit[0]);
  ::fcntl(data[0], F_SETFL, O_NONBLOCK);
  ::fcntl(credit[1], F_SETFL, O_NONBLOCK);
  w.in = data[0];
  w.credit = credit[1];
}

size_t kills_wanted() {
  const char* text = std::getenv("GANTRY_PUMP_KILLS");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 300;
}

uint32_t seed_wanted() {
  const char* text = std::getenv("GANTRY_PUMP_SEED");
  return text != nullptr ? static_cast<uint32_t>(std::strtoul(text, nullptr, 10))
                         : std::random_device{}();
}

/// The files of a log against what its two writers wrote.
void check_log(const child_log& log, const writer (&w)[2], const std::atomic<uint64_t>* written,
               const log_totals& totals) {
  checker streams[2] = {checker(source(w[0].how, w[0].seed)), checker(source(w[1].how, w[1].seed))};
  const log_content content = read_log(log.dir, log.format);
  CHECK(content.damage.empty());
  for (size_t s = 0; s < 2; ++s) {
    INFO("stream " << s << " of " << log.dir << ", format " << name_of(log.format));
    streams[s].take(content.bytes[s]);
    CHECK(streams[s].good());
    CHECK(streams[s].bytes() == written[s].load());
    CHECK(totals.bytes[s] == written[s].load());
    CHECK(totals.dropped[s] == 0);
    CHECK(totals.closed[s]);
  }
  CHECK(std::filesystem::file_size(log_file_path(log.dir, totals.file_seq)) == totals.file_offset);
}

} // namespace

TEST_CASE("pump: kills at random times lose and double no byte", "[uring]") {
  const uint32_t seed = seed_wanted();
  const size_t kills = kills_wanted();
  std::cout << "GANTRY_PUMP_SEED=" << seed << " GANTRY_PUMP_KILLS=" << kills << "\n";
  std::mt19937 random(seed);
  const shared_arena memory(small_shape());
  const scratch_dir dir;
  const shelved_stage way;
  auto* const news = share_pages<board>();
  writer writers[4][2] = {
    {{manner::blocks, seed + 1, 300'000}, {manner::tiny, seed + 2, 300}},
    {{manner::lines, seed + 3, 60'000}, {manner::binary, seed + 4, 30'000}},
    {{manner::lines, seed + 5, 30'000, true}, {manner::tiny, seed + 6, 2000, true}},
    {{manner::blocks, seed + 7, 300'000}, {manner::binary, seed + 8, 30'000}}};
  const log_format formats[4] = {log_format::json_file, log_format::json_file, log_format::cri,
                                 log_format::raw};
  std::vector<child_log> logs;
  for (size_t i = 0; i < 4; ++i) {
    for (size_t s = 0; s < 2; ++s)
      start(writers[i][s], news->written[i * 2 + s]);
    const std::string where = dir.path() + "/" + std::to_string(i);
    std::filesystem::create_directory(where);
    logs.push_back({i + 1, where, formats[i], {writers[i][0].in, writers[i][1].in}});
  }
  log_policy policy;
  policy.max_file_bytes = 4u << 20;
  policy.max_files = 100'000;
  policy.max_line_bytes = 100'000;
  const auto supervisor = [&](bool to_end) {
    const pid_t pid = fork_clean();
    if (pid == 0) {
      for (const auto& pair : writers)
        for (const writer& w : pair)
          ::close(w.credit);
      supervise(memory.view(), way, logs, *news, policy, {}, to_end);
    }
    return pid;
  };
  for (size_t i = 0; i < kills; ++i) {
    const pid_t pid = supervisor(false);
    for (const auto& pair : writers)
      for (const writer& w : pair)
        (void)!::write(w.credit, "x", 1);
    // The moment of the kill is what this is about: some while it starts, most under load.
    const timespec moment{0, static_cast<long>(random() % 12'000'000)};
    ::nanosleep(&moment, nullptr);
    ::kill(pid, SIGKILL);
    const int status = wait_child(pid);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);
  }
  for (auto& pair : writers)
    for (writer& w : pair)
      ::close(w.credit);
  const int status = wait_child(supervisor(true), 120);
  for (auto& pair : writers)
    for (writer& w : pair) {
      CHECK(wait_child(w.pid, 5) == 0);
      ::close(w.in);
    }
  REQUIRE(status == 0);
  for (size_t i = 0; i < 4; ++i)
    check_log(logs[i], writers[i], &news->written[i * 2], news->totals[i]);
  ::munmap(news, sizeof(board));
}

namespace {

/// How far from one step to the next: 1, but on a slow machine one of a few is tried, and others
/// the next time.
uint64_t stride() { return uint64_t(std::max(1.0, tests::slower() / 4)); }
uint64_t first_step() { return 1 + std::random_device{}() % stride(); }

uint64_t steps_left = 0;

void end_at_the_step() {
  if (--steps_left == 0)
    ::_exit(42);
}

/// Fills a pipe and closes its write end. @returns the read end.
/// @param packet If not 0: writes packets of 1 to so many bytes.
int filled_pipe(const std::string& bytes, size_t packet = 0) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK | (packet != 0 ? O_DIRECT : 0)) == 0);
  if (packet != 0)
    ::fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
  for (size_t at = 0, n = 0; at < bytes.size(); at += n) {
    n = packet != 0 ? std::min(bytes.size() - at, at * 7 % packet + 1) : bytes.size();
    REQUIRE(::write(ends[1], bytes.data() + at, n) == ssize_t(n));
  }
  ::close(ends[1]);
  return ends[0];
}

/// What the two pipes hold: whole and half lines, long ones, text and not.
std::array<std::string, 2> mixed_input() {
  std::array<std::string, 2> out;
  source lines(manner::blocks, 1), binary(manner::binary, 2);
  out[0] = lines.next().substr(0, 9000) + std::string(9000, 'z') + "\nshort\nlast words";
  out[1] = binary.next().substr(0, 3000) + "\n" + lines.next().substr(0, 4005) + "\n\n\nend\n1234";
  return out;
}

/// Runs the whole life of a log in a process that ends at step `n`, then in one that does
/// not. @returns false if the first one came to its end by itself.
bool dies_at_step(uint64_t n, const std::array<std::string, 2>& input, size_t turn_bytes,
                  log_format format = log_format::json_file, size_t packet = 0) {
  arena_shape shape = small_shape();
  shape.small_block_bytes = 4096;
  shape.large_block_bytes = 8192;
  shape.large_blocks = 1;
  log_policy policy;
  policy.max_file_bytes = 4096;
  policy.max_files = 100;
  policy.max_line_bytes = 5000;
  loop_policy turns;
  turns.pump_bytes = turn_bytes;
  const shared_arena memory(shape);
  const scratch_dir dir;
  const shelved_stage way;
  auto* const news = share_pages<board>();
  const std::vector<child_log> logs{
    {5, dir.path(), format, {filled_pipe(input[0], packet), filled_pipe(input[1], packet)}}};
  int statuses[2];
  for (int& status : statuses) {
    const pid_t pid = fork_clean();
    if (pid == 0) {
      if (&status == statuses) {
        steps_left = n;
        pump_step_hook = end_at_the_step;
      }
      supervise(memory.view(), way, logs, *news, policy, turns, true);
    }
    status = wait_child(pid, 30);
  }
  INFO("step " << n << " of the first process, " << turn_bytes << " bytes a turn, format "
               << name_of(format));
  CHECK(statuses[1] == 0);
  const log_content log = read_log(dir.path(), format);
  CHECK(log.damage.empty());
  CHECK(log.bytes[0] == input[0]);
  CHECK(log.bytes[1] == input[1]);
  CHECK(news->totals[0].bytes == std::array<uint64_t, 2>{input[0].size(), input[1].size()});
  CHECK(std::filesystem::file_size(log_file_path(dir.path(), news->totals[0].file_seq)) ==
        news->totals[0].file_offset);
  for (const int in : logs[0].in)
    ::close(in);
  ::munmap(news, sizeof(board));
  return WIFEXITED(statuses[0]) && WEXITSTATUS(statuses[0]) == 42;
}

} // namespace

TEST_CASE("pump: an end at any step loses and doubles no byte", "[uring]") {
  const auto input = mixed_input();
  for (const auto format : {log_format::json_file, log_format::cri, log_format::raw})
    for (const size_t turn_bytes : {1000, 5000}) {
      uint64_t n = first_step();
      while (dies_at_step(n, input, turn_bytes, format))
        n += stride();
      std::cout << name_of(format) << " steps with " << turn_bytes << " bytes a turn: " << n - 1
                << "\n";
      CHECK(n > 40);
    }
}

TEST_CASE("pump: batches of a few bytes survive an end at any step", "[uring]") {
  const std::array<std::string, 2> input{"hello\nhow are\nyou", "\xff\n\n"};
  uint64_t n = first_step();
  while (dies_at_step(n, input, 5))
    n += stride();
  CHECK(n > 20);
}

TEST_CASE("pump: packets survive an end at any step", "[uring]") {
  source lines(manner::lines, 3);
  std::array<std::string, 2> input{"", "one\ntwo\nthree"};
  while (input[0].size() < 9000)
    input[0] += lines.next().substr(0, 400) + "\n";
  for (const auto format : {log_format::json_file, log_format::raw}) {
    uint64_t n = first_step();
    while (dies_at_step(n, input, 3000, format, 900))
      n += stride();
    std::cout << name_of(format) << " steps with packets: " << n - 1 << "\n";
    CHECK(n > 50);
  }
}
