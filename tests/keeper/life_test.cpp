// A keeper and the lives of its gantryd.

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/keeper/harness.hpp"
#include "tests/slower.hpp"

using namespace gantry;
using namespace gantry::keeper_tests;
using namespace std::chrono_literals;
using wire::refusal;
using wire::word;

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

keeper_process::how running(std::vector<std::string> program) {
  keeper_process::how h;
  h.program = std::move(program);
  return h;
}

wire::message put(uint64_t kind, uint64_t serial, const char* note = "") {
  wire::message m{.what = word::put, .kind = kind, .serial = serial};
  std::strncpy(m.note, note, sizeof(m.note) - 1);
  return m;
}

/// So many lives, or fewer where each takes longer.
std::string lives(int count) { return std::to_string(int(count / tests::slower())); }

bool is_exit(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

} // namespace

TEST_CASE("keeper: a killed gantryd is started again, and told how the one before ended") {
  keeper_process k;
  auto first = k.next();
  REQUIRE(first);
  CHECK(first.memory.header().generation == 1);
  CHECK(first.memory.header().last_status == -1);
  CHECK(first.memory.header().keeper_pid == k.pid);
  first.kill(SIGKILL);
  auto second = k.next();
  REQUIRE(second);
  CHECK(second.pid != first.pid);
  CHECK(second.memory.header().generation == 2);
  CHECK(second.memory.header().last_status == SIGKILL);
}

TEST_CASE("keeper: what lies on the shelf outlives gantryd") {
  keeper_process k;
  auto first = k.next();
  REQUIRE(first);
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
  REQUIRE(::write(pipe[1], "last words", 10) == 10);
  first.send(put(2, 7, "a note"), {pipe[0]});
  first.send(put(2, 8), {pipe[0], pipe[0]});
  first.send({.what = word::drop, .kind = 2, .serial = 8});
  ::close(pipe[0]);
  first.kill(SIGKILL);

  auto second = k.next();
  REQUIRE(second);
  auto shelf = second.list();
  REQUIRE(shelf.size() == 1);
  CHECK(shelf[0].what.kind == 2);
  CHECK(shelf[0].what.serial == 7);
  CHECK(shelf[0].what.note == std::string("a note"));
  REQUIRE(shelf[0].count == 1);
  char text[16] = {};
  CHECK(::read(shelf[0].fds[0], text, sizeof(text)) == 10);
  CHECK(text == std::string("last words"));
  ::close(shelf[0].fds[0]);
  ::close(pipe[1]);
}

TEST_CASE("keeper: a put is durable although its sender is killed in the next instruction") {
  keeper_process k(running({FAKE_PROGRAM, "count", lives(1000), "self"}));
  CHECK(is_exit(k.status(240s), 0));
}

TEST_CASE("keeper: a put that returned is never lost to a kill at any moment") {
  keeper_process k(running({FAKE_PROGRAM, "count", lives(300), "timer"}));
  CHECK(is_exit(k.status(240s), 0));
}

TEST_CASE("keeper: a long list arrives whole, however slowly it is read") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (uint64_t i = 0; i < 3000; ++i)
    g.send(put(1, i), {fd, fd});
  g.send({.what = word::list});
  g.send(put(1, 3000)); // behind the list: not in it
  std::vector<bool> seen(3000);
  for (size_t n = 0;; ++n) {
    auto packet = g.receive();
    if (packet.what.what == word::end) {
      CHECK(n == 3000);
      break;
    }
    REQUIRE(packet.count == 2);
    REQUIRE(packet.what.serial < 3000);
    seen[packet.what.serial] = true;
    for (size_t i = 0; i < packet.count; ++i)
      ::close(packet.fds[i]);
  }
  CHECK(std::count(seen.begin(), seen.end(), true) == 3000);
  ::close(fd);
}

TEST_CASE("keeper: after a farewell it ends as gantryd ends") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  g.send({.what = word::farewell});
  SECTION("by an exit code") {
    g.end(9);
    CHECK(is_exit(k.status(), 9));
  }
  SECTION("by a signal") {
    g.kill(SIGKILL);
    CHECK(is_exit(k.status(), 128 + SIGKILL));
  }
}

TEST_CASE("keeper: exit codes of usage and configuration end it only before gantryd was ready") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  SECTION("before") {
    g.end(64);
    CHECK(is_exit(k.status(), 64));
  }
  SECTION("after") {
    g.send({.what = word::ready});
    g.end(64);
    CHECK(k.next());
  }
  SECTION("another code is a crash") {
    g.end(1);
    CHECK(k.next());
  }
}

TEST_CASE("keeper: one that served comes again, though its next start was refused for a while") {
  keeper_process::how h;
  h.options = {"--back-off", "1"};
  keeper_process k(h);
  auto g = k.next();
  REQUIRE(g);
  g.send({.what = word::ready});
  g.kill(SIGKILL);
  for (int i = 0; i < 3; ++i) { // No memory for its ring, say.
    auto refused = k.next();
    REQUIRE(refused);
    refused.end(69);
  }
  auto back = k.next();
  REQUIRE(back);
  back.send({.what = word::farewell});
  back.end(0);
  CHECK(is_exit(k.status(), 0));
}

TEST_CASE("keeper: a program that cannot be executed is said so, once") {
  keeper_process k(running({"/nonexistent/program"}));
  CHECK(is_exit(k.status(), 127));
}

TEST_CASE("keeper: signals that ask are passed on, and a gantryd that follows them is done") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  SECTION("SIGTERM ends both") {
    REQUIRE(::kill(k.pid, SIGTERM) == 0);
    CHECK(is_exit(k.status(), 128 + SIGTERM));
  }
  SECTION("SIGHUP that kills is a crash") {
    REQUIRE(::kill(k.pid, SIGHUP) == 0);
    auto again = k.next();
    REQUIRE(again);
    CHECK(again.memory.header().last_status == SIGHUP);
  }
}

TEST_CASE("keeper: starts are spaced out while gantryd keeps dying") {
  keeper_process::how h;
  h.options = {"--back-off", "60"};
  keeper_process k(h);
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) { // pauses: none, 60, 120, 240
    auto g = k.next();
    REQUIRE(g);
    if (i == 4)
      break;
    g.kill(SIGKILL);
  }
  CHECK(std::chrono::steady_clock::now() - begin >= 420ms);
}

TEST_CASE("keeper: a limit of restarts ends it") {
  keeper_process::how h;
  h.options = {"--back-off", "0", "--max-restarts", "2"};
  h.program = {"/bin/sh", "-c", "kill -9 $$"};
  keeper_process k(h);
  CHECK(is_exit(k.status(), 128 + SIGKILL));
}

TEST_CASE("keeper: junk on the socket is answered and harms nothing") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const auto before = std::distance(
    std::filesystem::directory_iterator("/proc/" + std::to_string(k.pid) + "/fd"), {});
  g.send({.version = 9, .what = word::hello});
  auto answer = g.receive();
  CHECK(answer.what.what == word::error);
  CHECK(refusal(answer.what.value) == refusal::version);
  CHECK(answer.what.aux == wire::version);
  g.send({.magic = 1, .what = word::put}, {fd, fd});
  CHECK(refusal(g.receive().what.value) == refusal::malformed);
  g.send({.what = word::drop}, {fd});
  CHECK(refusal(g.receive().what.value) == refusal::malformed);
  REQUIRE(::send(g.socket, "x", 1, 0) == 1);
  CHECK(refusal(g.receive().what.value) == refusal::malformed);
  std::string large(5000, 'x');
  REQUIRE(::send(g.socket, large.data(), large.size(), 0) == 5000);
  CHECK(refusal(g.receive().what.value) == refusal::malformed);

  g.send({.what = word::hello});
  CHECK(g.receive().what.what == word::welcome);
  const auto after = std::distance(
    std::filesystem::directory_iterator("/proc/" + std::to_string(k.pid) + "/fd"), {});
  CHECK(before == after); // the descriptors of refused messages are closed
  ::close(fd);
}

TEST_CASE("keeper: descriptors that do not arrive are told, and the old entry stays") {
  keeper_process::how h;
  h.before_exec = [] {
    rlimit few{32, 32};
    ::setrlimit(RLIMIT_NOFILE, &few);
  };
  keeper_process k(h);
  auto g = k.next();
  REQUIRE(g);
  int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  uint64_t i = 0;
  for (; i < 20; ++i)
    g.send(put(1, i), {fd, fd, fd, fd});
  auto answer = g.receive();
  CHECK(refusal(answer.what.value) == refusal::fds_lost);
  const auto first_lost = answer.what.serial;
  CHECK(first_lost > 0);
  g.send({.what = word::drop, .kind = 1, .serial = 0});
  g.send(put(1, 0, "again"), {fd});
  auto shelf = g.list();
  CHECK(shelf.size() == first_lost);
  for (const auto& x : shelf)
    CHECK(x.count == (x.what.serial == 0 ? 1 : 4));
  for (const auto& x : shelf)
    for (size_t n = 0; n < x.count; ++n)
      ::close(x.fds[n]);
  ::close(fd);
}

TEST_CASE("keeper: its child starts with clean signals and no stray descriptors") {
  keeper_process::how h;
  h.before_exec = [] { // as make does, and worse
    const uint64_t ignore[4] = {1, 0, 0, 0};
    for (int sig : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE, 32, 33, 34, 64})
      ::syscall(SYS_rt_sigaction, sig, ignore, nullptr, 8);
    const uint64_t all = ~uint64_t{0};
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, 8);
    for (int fd = 20; fd < 30; ++fd)
      ::dup2(1, fd);
    ::close(0);
    rlimit files{64, 4096};
    ::setrlimit(RLIMIT_NOFILE, &files);
  };
  keeper_process k(h);
  auto g = k.next();
  REQUIRE(g);
  for (const std::string name : {"SigBlk", "SigIgn", "SigCgt", "SigPnd"})
    if (!sanitized || name != "SigCgt") // AddressSanitizer has handlers of its own.
      CHECK(proc_line(g.pid, "status", name) == "0000000000000000");
  std::vector<std::string> fds;
  for (const auto& x :
       std::filesystem::directory_iterator("/proc/" + std::to_string(g.pid) + "/fd"))
    fds.push_back(x.path().filename());
  std::sort(fds.begin(), fds.end());
  CHECK(fds == std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6"}); // 6: to this test
  rlimit files{};
  REQUIRE(::prlimit(g.pid, RLIMIT_NOFILE, nullptr, &files) == 0);
  CHECK(files.rlim_cur == 64); // not the keeper's raised one
  REQUIRE(::prlimit(k.pid, RLIMIT_NOFILE, nullptr, &files) == 0);
  CHECK(files.rlim_cur == 4096);
  g.kill(SIGTERM);
  CHECK(k.next());
}

TEST_CASE("keeper: does nothing while nothing happens, and is small") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  g.send({.what = word::hello});
  CHECK(g.receive().what.what == word::welcome);
  auto asleep = [&k] { return proc_line(k.pid, "status", "State").starts_with("S"); };
  REQUIRE(wait_until(asleep));
  auto wakes = [&k] {
    return proc_number(k.pid, "status", "voluntary_ctxt_switches")
           + proc_number(k.pid, "status", "nonvoluntary_ctxt_switches");
  };
  const auto before = wakes();
  CHECK_FALSE(wait_readable(g.socket, 500ms));
  CHECK(wakes() == before);
  const auto pss = proc_number(k.pid, "smaps_rollup", "Pss");
  WARN("keeper: PSS " << pss << " KiB, RSS " << proc_number(k.pid, "status", "VmRSS") << " KiB");
#ifndef __SANITIZE_ADDRESS__
  CHECK(pss <= 600);
#endif
}
