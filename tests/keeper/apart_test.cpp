// A keeper beside its gantryd's proxy: what a service manager starts and stops.

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/keeper/harness.hpp"

using namespace gantry;
using namespace gantry::keeper_tests;
using namespace std::chrono_literals;
using wire::word;
namespace fs = std::filesystem;

namespace {

bool is_exit(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

/// Nobody's child any more: ended here.
struct ended_at_last {
  std::vector<pid_t> pids;
  ~ended_at_last() {
    for (pid_t pid : pids)
      ::kill(pid, SIGKILL);
    for (pid_t pid : pids)
      wait_until([pid] { return proc_line(pid, "status", "State").empty(); });
  }
};

keeper_process::how apart() {
  keeper_process::how h;
  h.apart = true;
  return h;
}

size_t count_pidfds(pid_t pid) {
  size_t out = 0;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone))
    out += fs::read_symlink(entry.path(), gone) == "anon_inode:[pidfd]" ? 1 : 0;
  return out;
}

void is_listening(pid_t proxy) {
  REQUIRE(wait_until([&] { return proc_line(proxy, "status", "SigBlk") != "0000000000000000"; }));
}

} // namespace

TEST_CASE("apart: the keeper stays when its gantryd is stopped, and serves the next one") {
  keeper_process first(apart());
  auto g = first.next();
  REQUIRE(g);
  const pid_t keeper = g.memory.header().keeper_pid;
  ended_at_last guard{{keeper}};
  CHECK(keeper != first.pid);
  CHECK(proc_number(g.pid, "status", "PPid") == keeper);
  g.send({.what = word::ready});
  g.send({.what = word::farewell, .value = 1});
  g.end(0);
  CHECK(is_exit(first.status(), 0));
  CHECK_FALSE(proc_line(keeper, "status", "State").empty());
  const pid_t second = first.launch();
  auto again = first.next();
  REQUIRE(again);
  CHECK(again.memory.header().keeper_pid == keeper);
  CHECK(again.memory.header().generation == 2);
  again.send({.what = word::farewell});
  again.end(3);
  CHECK(is_exit(wait_status(second), 3));
  CHECK(wait_until([keeper] { return proc_line(keeper, "status", "State").empty(); }));
}

TEST_CASE("apart: a proxy takes the place of one that was killed, and of no other") {
  keeper_process first(apart());
  auto g = first.next();
  REQUIRE(g);
  ended_at_last guard{{static_cast<pid_t>(g.memory.header().keeper_pid), g.pid}};
  g.send({.what = word::ready});
  CHECK(is_exit(wait_status(first.launch()), 77)); // The first one lives.
  REQUIRE(::kill(first.pid, SIGKILL) == 0);
  REQUIRE(first.status() == SIGKILL);
  const pid_t second = first.launch();
  is_listening(second);
  CHECK_FALSE(first.next(100ms)); // The same gantryd goes on.
  REQUIRE(::kill(second, SIGTERM) == 0);
  CHECK(is_exit(wait_status(second), 128 + SIGTERM));
  CHECK(proc_line(g.pid, "status", "State").empty());
}

TEST_CASE("apart: SIGABRT ends a gantryd that hangs, and another proxy starts the next") {
  keeper_process first(apart());
  auto g = first.next();
  REQUIRE(g);
  const auto keeper = static_cast<pid_t>(g.memory.header().keeper_pid);
  ended_at_last guard{{keeper}};
  g.send({.what = word::ready});
  is_listening(first.pid);
  g.kill(SIGSTOP);
  REQUIRE(::kill(first.pid, SIGABRT) == 0);
  CHECK(is_exit(first.status(), 128 + SIGABRT));
  CHECK_FALSE(first.next(100ms)); // It waits for the service manager.
  const pid_t second = first.launch();
  auto again = first.next();
  REQUIRE(again);
  CHECK(again.memory.header().keeper_pid == keeper);
  CHECK(WTERMSIG(again.memory.header().last_status.load()) == SIGABRT);
  again.send({.what = word::farewell});
  again.end(0);
  CHECK(is_exit(wait_status(second), 0));
}

TEST_CASE("apart: the proxy stands for a gantryd whose keeper was killed") {
  keeper_process first(apart());
  auto g = first.next();
  REQUIRE(g);
  const auto keeper = static_cast<pid_t>(g.memory.header().keeper_pid);
  ended_at_last guard{{g.pid}};
  g.send({.what = word::ready});
  is_listening(first.pid);
  // It must have heard READY, or there is nothing that it could stand for.
  REQUIRE(wait_until([&] { return count_pidfds(first.pid) == 1; }));
  REQUIRE(::kill(keeper, SIGKILL) == 0);
  CHECK(first.status(100ms) == -1);
  REQUIRE(::kill(first.pid, SIGTERM) == 0);
  CHECK(is_exit(first.status(), 0));
  CHECK(wait_until([&] { return proc_line(g.pid, "status", "State").empty(); }));
}

TEST_CASE("apart: a keeper whose starter goes without a word ends") {
  keeper_process::how h;
  h.bare = true;
  keeper_process k(h);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  (k.directory + "/control").copy(at.sun_path, sizeof(at.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  REQUIRE(wait_until(
    [&] { return ::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0; }));
  CHECK(k.status(50ms) == -1); // It waits.
  ::close(fd);
  CHECK(is_exit(k.status(), 0));
}
