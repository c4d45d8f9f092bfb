#include "io/log_sink.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "io/log.hpp"
#include "real_loop.hpp"

using namespace gantry::io;
using namespace std::chrono_literals;

namespace {

std::string drained(kernel& k, int fd) {
  std::string out;
  char part[4096];
  for (ssize_t n; (n = k.read(fd, part)) > 0;)
    out.append(part, size_t(n));
  return out;
}

size_t threads() {
  std::vector<std::string> names;
  size_t others = 0;
  for (auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    others += name.rfind("iou-", 0) != 0; // The kernel's own workers come and go.
  }
  return others;
}

} // namespace

TEST_CASE("log_sink: lines reach the descriptor in their form and order", "[uring]") {
  real_loop r;
  pipe_pair p(*r.kernel);
  auto before = threads();
  auto sink = std::make_shared<log_sink>(p.writer.get());
  spdlog::logger logger("", sink);
  logger.info("kept before the loop n={}", 0);
  sink->open(r.l);
  logger.warn("container started id={} pid={}", "web", 4711);
  std::string got;
  REQUIRE(r.until([&] {
    got += drained(*r.kernel, p.reader.get());
    return std::count(got.begin(), got.end(), '\n') == 2;
  }));
  INFO(got);
  std::regex form(
    R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info kept before the loop n=0\n)"
    R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning container started id=web pid=4711\n)");
  CHECK(std::regex_match(got, form));
  CHECK(threads() == before);
  sink->close(1s);
}

TEST_CASE("log_sink: a full pipe stops no turn; what has no room is counted and said", "[uring]") {
  real_loop r;
  int ends[2];
  REQUIRE(r.kernel->pipe(ends, 0) == 0);
  fd reader(*r.kernel, ends[0]), writer(*r.kernel, ends[1]); // The writer blocks.
  REQUIRE(r.kernel->set_pipe_size(ends[1], 4096) == 4096);
  auto sink = std::make_shared<log_sink>(ends[1], 8192);
  spdlog::logger logger("", sink);
  sink->open(r.l);
  std::string filler(100, 'x');
  constexpr int lines = 1000;
  for (int i = 0; i < lines; ++i) {
    logger.info("{} i={}", filler, i);
    r.l.turn(false);
  }
  CHECK(sink->waiting() <= 8192);
  CHECK(sink->dropped() > 0);
  // Kernel 6.1 writes to a blocking pipe in a worker, which tells nothing until all is
  // written: the reader has to look by itself.
  timer look(r.l);
  std::function<void()> again = [&look, &again] { look.start(5ms, again); };
  again();
  std::string got;
  REQUIRE(r.until([&] {
    got += drained(*r.kernel, ends[0]);
    return sink->waiting() == 0 && r.l.in_flight() == 0;
  }));
  logger.info("room again");
  REQUIRE(r.until([&] {
    got += drained(*r.kernel, ends[0]);
    return got.find("room again") != std::string::npos;
  }));
  // A note for each time that there was room again; together they say all that was dropped.
  const std::regex note("log lines were dropped count=(\\d+)\n");
  size_t notes = 0, said = 0;
  for (std::sregex_iterator at(got.begin(), got.end(), note), end; at != end; ++at, ++notes)
    said += std::stoull((*at)[1]);
  CHECK(notes > 0);
  CHECK(said == sink->dropped());
  auto whole = size_t(std::count(got.begin(), got.end(), '\n'));
  CHECK(whole - notes + sink->dropped() == lines + 1); // And the last line.
  sink->close(1s);
}

TEST_CASE("log_sink: close gives up on a reader that never reads", "[uring]") {
  real_loop r;
  int ends[2];
  REQUIRE(r.kernel->pipe(ends, 0) == 0);
  fd reader(*r.kernel, ends[0]), writer(*r.kernel, ends[1]);
  REQUIRE(r.kernel->set_pipe_size(ends[1], 4096) == 4096);
  auto sink = std::make_shared<log_sink>(ends[1], 65536);
  spdlog::logger logger("", sink);
  sink->open(r.l);
  for (int i = 0; i < 100; ++i)
    logger.info("{}", std::string(200, 'x'));
  r.l.turn(false);
  auto began = r.kernel->monotonic();
  sink->close(20ms);
  CHECK(r.kernel->monotonic() - began < 3s);
  CHECK(r.l.in_flight() == 0);
}

TEST_CASE("log_sink: another thread may log while the loop sleeps", "[uring]") {
  real_loop r;
  pipe_pair p(*r.kernel);
  auto sink = std::make_shared<log_sink>(p.writer.get());
  spdlog::logger logger("", sink);
  sink->open(r.l);
  std::string got;
  std::thread other([&] { logger.info("from elsewhere"); });
  REQUIRE(r.until([&] {
    got += drained(*r.kernel, p.reader.get());
    return got.find("from elsewhere") != std::string::npos;
  }));
  other.join();
  sink->close(1s);
}

TEST_CASE("log_sink: a file is appended to", "[uring]") {
  real_loop r;
  char name[] = "/var/tmp/gantry-log-XXXXXX";
  int number = ::mkostemp(name, O_APPEND | O_CLOEXEC);
  REQUIRE(number >= 0);
  [[maybe_unused]] auto n = ::write(number, "first\n", 6);
  auto sink = std::make_shared<log_sink>(number);
  spdlog::logger logger("", sink);
  sink->open(r.l);
  for (int i = 0; i < 50; ++i) {
    logger.info("i={}", i);
    r.l.turn(false);
  }
  sink->close(5s);
  ::close(number);
  std::ifstream in(name);
  std::string line;
  std::getline(in, line);
  CHECK(line == "first");
  int i = 0;
  for (; std::getline(in, line); ++i)
    CHECK(line.find("i=" + std::to_string(i)) != std::string::npos);
  CHECK(i == 50);
  ::unlink(name);
}

TEST_CASE("log: lines go where their own thread said, and nowhere else") {
  class counting final : public spdlog::sinks::sink {
  public:
    void log(const spdlog::details::log_msg&) override { ++lines; }
    void flush() override {}
    void set_pattern(const std::string&) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}
    int lines = 0;
  };
  auto here = std::make_shared<counting>();
  auto there = std::make_shared<counting>();
  log_warn("nobody has said where to");
  log_to(std::make_shared<spdlog::logger>("", here));
  std::thread other([&] {
    log_warn("nobody has said so on this thread");
    log_to(std::make_shared<spdlog::logger>("", there));
    log_warn("n={}", 1);
    log_error("n={}", 2);
  });
  other.join();
  log_info("n={}", 3);
  log_to(nullptr);
  log_info("n={}", 4);
  CHECK(here->lines == 1);
  CHECK(there->lines == 2);
}

TEST_CASE("log_sink: the last words of an aborting process are written", "[uring]") {
  int out[2];
  REQUIRE(::pipe(out) == 0);
  auto pid = ::fork();
  if (pid == 0) {
    rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    use_as_this_log(std::make_shared<log_sink>(out[1]));
    log_info("last words");
    std::abort();
  }
  ::close(out[1]);
  char text[256];
  auto n = ::read(out[0], text, sizeof(text));
  ::close(out[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  REQUIRE(n > 0);
  CHECK(std::string(text, size_t(n)).find("last words") != std::string::npos);
}
