// A keeper that stays when gantryd goes on purpose, and the gantryd that comes back to it.

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/launch_proxy.hpp"
#include "tests/keeper/harness.hpp"

using namespace gantry;
using namespace gantry::keeper_tests;
using namespace std::chrono_literals;
using wire::word;

namespace {

keeper_process::how launched() {
  keeper_process::how h;
  h.launch = true;
  return h;
}

bool is_exit(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

} // namespace

TEST_CASE("launch: a program becomes the child of a keeper that it has executed itself") {
  keeper_process k(launched());
  auto g = k.next();
  REQUIRE(g);
  CHECK(g.memory.header().keeper_pid == k.pid);
  CHECK(proc_number(g.pid, "status", "PPid") == k.pid);
  g.send({.what = word::farewell});
  g.end(5);
  CHECK(is_exit(k.status(), 5));
  CHECK(::access((k.directory + "/control").c_str(), F_OK) != 0);
}

TEST_CASE("launch: a second one on the same state is refused") {
  keeper_process k(launched());
  auto g = k.next();
  REQUIRE(g);
  CHECK(is_exit(wait_status(k.launch()), 77));
  struct stat info{};
  REQUIRE(::stat((k.directory + "/control").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("launch: a keeper that stays hands everything to the next gantryd") {
  keeper_process k(launched());
  pid_t orphan = -1;
  {
    auto g = k.next();
    REQUIRE(g);
    int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    g.send({.what = word::ready});
    g.send({.what = word::put, .kind = 1, .serial = 1}, {fd});
    ::close(fd);
    orphan = g.orphan("wait");
    g.send({.what = word::farewell, .value = 1});
    g.end(0);
    CHECK_FALSE(k.next(200ms)); // it waits
    CHECK(k.status(1ms) == -1); // and lives
  }
  REQUIRE(::kill(orphan, SIGKILL) == 0);

  auto proxy = k.launch();
  auto g = k.next();
  REQUIRE(g);
  CHECK(proc_number(g.pid, "status", "PPid") == k.pid);
  CHECK(g.memory.header().generation == 2);
  auto* entry = g.dead(orphan);
  REQUIRE(entry != nullptr);
  CHECK(entry->status == SIGKILL);
  auto shelf = g.list();
  REQUIRE(shelf.size() == 1);
  ::close(shelf[0].fds[0]);

  SECTION("the launcher ends as that gantryd ends") {
    g.send({.what = word::ready});
    g.send({.what = word::farewell});
    g.end(6);
    CHECK(is_exit(wait_status(proxy), 6));
    CHECK(is_exit(k.status(), 6));
  }
  SECTION("the launcher passes signals on") {
    REQUIRE(wait_until([&] { return proc_line(proxy, "status", "SigBlk") != "0000000000000000"; }));
    REQUIRE(::kill(proxy, SIGTERM) == 0);
    CHECK(wait_status(proxy, 100ms) == -1); // Not in the middle of its start.
    CHECK_FALSE(proc_line(g.pid, "status", "State").empty());
    g.send({.what = word::ready});
    CHECK(is_exit(wait_status(proxy), 128 + SIGTERM));
  }
  SECTION("a killed gantryd is started again in the same way") {
    g.kill(SIGKILL);
    auto again = k.next();
    REQUIRE(again);
    CHECK(again.memory.header().generation == 3);
    again.send({.what = word::farewell});
    again.end(0);
    CHECK(is_exit(wait_status(proxy), 0));
  }
  SECTION("a gantryd that fails before it serves leaves the keeper waiting") {
    g.end(78);
    CHECK(is_exit(wait_status(proxy), 78));
    auto third = k.launch();
    auto again = k.next();
    REQUIRE(again);
    again.send({.what = word::farewell});
    again.end(0);
    CHECK(is_exit(wait_status(third), 0));
  }
}

TEST_CASE("launch: behind a crash a refused start is tried again, behind a launch it is told") {
  keeper_process k(launched());
  {
    auto g = k.next();
    REQUIRE(g);
    g.send({.what = word::ready});
    g.send({.what = word::farewell, .value = 1});
    g.end(0);
  }
  auto told = k.launch();
  auto refused = k.next();
  REQUIRE(refused);
  refused.end(69);
  CHECK(is_exit(wait_status(told), 69));
  auto proxy = k.launch();
  auto g = k.next();
  REQUIRE(g);
  g.send({.what = word::ready});
  g.kill(SIGKILL);
  refused = k.next();
  REQUIRE(refused);
  refused.end(69);
  auto again = k.next();
  REQUIRE(again);
  again.send({.what = word::farewell});
  again.end(0);
  CHECK(is_exit(wait_status(proxy), 0));
}

TEST_CASE("launch: who comes while a gantryd is on its way out is the next one") {
  keeper_process k(launched());
  auto g = k.next();
  REQUIRE(g);
  g.send({.what = word::ready});
  g.send({.what = word::farewell, .value = 1});
  auto proxy = k.launch();
  CHECK(wait_status(proxy, 100ms) == -1); // Not refused.
  g.end(0);
  auto again = k.next();
  REQUIRE(again);
  again.send({.what = word::ready});
  again.send({.what = word::farewell});
  again.end(5);
  CHECK(is_exit(wait_status(proxy), 5));
}

TEST_CASE("launch: a keeper that waits ends by SIGTERM") {
  keeper_process k(launched());
  auto g = k.next();
  REQUIRE(g);
  g.send({.what = word::farewell, .value = 1});
  g.end(0);
  REQUIRE(wait_until([&] { return proc_line(g.pid, "status", "State").empty(); }));
  REQUIRE(::kill(k.pid, SIGTERM) == 0);
  CHECK(is_exit(k.status(), 128 + SIGTERM));
}

namespace {

/// What a launcher sends when it hands descriptors over; its program refuses to serve.
void ask_with(int control, uint64_t kind, const char* note, const std::vector<int>& more) {
  const std::string_view strings{"/bin/sh\0/\0sh\0-c\0exit 70\0", 24};
  wire::message start{.what = word::start, .value = 3, .kind = kind};
  std::strncpy(start.note, note, sizeof(start.note) - 1);
  std::vector<int> fds{0, 1, 2};
  fds.insert(fds.end(), more.begin(), more.end());
  REQUIRE(io::send_packet(control, start, fds, strings) == 0);
}

/// The shelf as the next gantryd of this keeper finds it.
std::vector<io::keeper_packet> next_shelf(keeper_process& k, pid_t& proxy) {
  proxy = k.launch();
  auto g = k.next();
  REQUIRE(g);
  auto out = g.list();
  g.send({.what = word::ready});
  g.send({.what = word::farewell, .value = 1});
  g.end(0);
  CHECK(is_exit(wait_status(proxy), 0));
  return out;
}

} // namespace

TEST_CASE("launch: what comes behind the stdio lies on the shelf, until a start without") {
  keeper_process k(launched());
  {
    auto g = k.next();
    REQUIRE(g);
    g.send({.what = word::ready});
    g.send({.what = word::farewell, .value = 1});
    g.end(0);
  }
  pid_t proxy = -1;
  {
    auto control = io::connect_keeper(k.directory + "/control");
    REQUIRE(control.ok());
    REQUIRE(*control >= 0);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ask_with(*control, 77, "ab", {null, null});
    REQUIRE(wait_until([&] { // It is started, and ends at once.
      auto got = io::receive_packet(*control);
      return got.size > 0 && got.what.what == word::ended;
    }));
    ::close(null);
    ::close(*control);
  }
  // A start that says nothing of this kind leaves it; one with the kind and nothing drops it.
  auto shelf = next_shelf(k, proxy);
  REQUIRE(shelf.size() == 1);
  CHECK(shelf[0].what.kind == 77);
  CHECK(std::string(shelf[0].what.note) == "ab");
  REQUIRE(shelf[0].count == 2);
  for (size_t i = 0; i < shelf[0].count; ++i)
    ::close(shelf[0].fds[i]);
  auto control = io::connect_keeper(k.directory + "/control");
  REQUIRE(control.ok());
  ask_with(*control, 77, "", {});
  REQUIRE(wait_until([&] {
    auto got = io::receive_packet(*control);
    return got.size > 0 && got.what.what == word::ended;
  }));
  ::close(*control);
  CHECK(next_shelf(k, proxy).empty());
}
