// A keeper and the orphans that fall to it.

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/keeper/harness.hpp"
#include "tests/slower.hpp"

using namespace gantry;
using namespace gantry::keeper_tests;
using namespace std::chrono_literals;
using wire::word;

namespace {

char state_of(pid_t pid) {
  auto text = proc_line(pid, "status", "State");
  return text.empty() ? '-' : text[0];
}

size_t full_entries(const fake& g) {
  auto table = g.memory.dead();
  return size_t(std::count_if(table.begin(), table.end(), [](const io::dead_entry& x) {
    return x.full.load(std::memory_order_acquire) == 1;
  }));
}

} // namespace

TEST_CASE("keeper: the status of each orphan is exact") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  struct row {
    const char* how;
    int status;
  };
  for (auto [how, status] : {row{"exit 0", 0}, row{"exit 1", 1 << 8}, row{"exit 255", 255 << 8},
                             row{"signal 9", SIGKILL}, row{"signal 15", SIGTERM},
                             row{"signal 34", 34}}) {
    auto pid = g.orphan(how);
    auto* entry = g.dead(pid);
    REQUIRE(entry != nullptr);
    CHECK(entry->status == status);
    CHECK(entry->start_ticks > 0);
    CHECK(entry->realtime_ns > 0);
    entry->full.store(0);
  }
  CHECK(g.news());
}

TEST_CASE("keeper: an entry carries the start time that the process had") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  auto pid = g.orphan("wait");
  std::string stat;
  {
    FILE* f = std::fopen(("/proc/" + std::to_string(pid) + "/stat").c_str(), "r");
    REQUIRE(f != nullptr);
    char text[1024] = {};
    REQUIRE(std::fread(text, 1, sizeof(text) - 1, f) > 0);
    std::fclose(f);
    stat = text;
  }
  auto at = stat.rfind(')') + 1; // behind it field 3 follows
  for (int field = 3; field < 22; ++field)
    at = stat.find(' ', at + 1);
  REQUIRE(::kill(pid, SIGKILL) == 0);
  auto* entry = g.dead(pid);
  REQUIRE(entry != nullptr);
  CHECK(entry->start_ticks == std::stoull(stat.substr(at)));
}

TEST_CASE("keeper: a core dump is told from a plain signal") {
  keeper_process k; // cores are forbidden to the orphan itself: the bit stays unset
  auto g = k.next();
  REQUIRE(g);
  auto pid = g.orphan("signal 6");
  auto* entry = g.dead(pid);
  REQUIRE(entry != nullptr);
  CHECK(WIFSIGNALED(entry->status));
  CHECK(WTERMSIG(entry->status) == SIGABRT);
}

TEST_CASE("keeper: the dead are reaped and told while there is no gantryd") {
  keeper_process::how h;
  h.options = {"--back-off", "300"};
  keeper_process k(h);
  {
    auto g = k.next();
    REQUIRE(g);
    g.kill(SIGKILL); // the next one comes at once, the one after it late
  }
  auto g = k.next();
  REQUIRE(g);
  auto pid = g.orphan("wait");
  g.kill(SIGKILL);
  REQUIRE(wait_until([&] { return state_of(g.pid) == '-'; }));
  REQUIRE(::kill(pid, SIGKILL) == 0);
  REQUIRE(wait_until([&] { return state_of(pid) == '-'; }, 250ms)); // reaped, though nobody asks
  auto next = k.next();
  REQUIRE(next);
  CHECK(next.news());
  auto* entry = next.dead(pid);
  REQUIRE(entry != nullptr);
  CHECK(entry->status == SIGKILL);
}

TEST_CASE("keeper: when the table is full the rest wait as zombies, and none is lost") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  auto table = g.memory.dead();
  const size_t spare = 5;
  for (size_t i = spare; i < table.size(); ++i) { // all but a few places are taken
    table[i].pid = 1;
    table[i].full.store(1);
  }
  CHECK(g.orphan("many 12") > 0);
  auto& overflow = g.memory.header().dead_overflow;
  REQUIRE(wait_until([&] { return overflow.load() == 1; }));
  size_t found = 0;
  REQUIRE(wait_until([&] {
    size_t fresh = 0;
    for (auto& x : table)
      if (x.full.load(std::memory_order_acquire) == 1 && x.pid != 1) {
        CHECK(x.status == 3 << 8);
        x.full.store(0);
        ++fresh;
      }
    found += fresh;
    if (fresh > 0 && overflow.exchange(0) == 1)
      g.send({.what = word::freed});
    return found >= 12;
  }));
  CHECK(found == 12);
  CHECK(full_entries(g) == table.size() - spare);
}

TEST_CASE("keeper: a dead gantryd is noticed behind zombies that must wait") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  for (auto& x : g.memory.dead()) {
    x.pid = 1;
    x.full.store(1);
  }
  auto pid = g.orphan("exit 3");
  REQUIRE(wait_until([&] { return g.memory.header().dead_overflow.load() == 1; }));
  CHECK(state_of(pid) == 'Z');
  g.kill(SIGKILL);
  auto next = k.next();
  REQUIRE(next);
  next.memory.dead()[7].full.store(0);
  next.memory.header().dead_overflow.store(0);
  next.send({.what = word::freed});
  auto* entry = next.dead(pid);
  REQUIRE(entry != nullptr);
  CHECK(entry->status == 3 << 8);
}

TEST_CASE("keeper: a storm of deaths is told completely") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  REQUIRE(g.orphan("many 500") > 0);
  CHECK(wait_until([&] { return full_entries(g) == 500; }));
  CHECK(g.memory.header().dead_position.load() == 500);
}

TEST_CASE("keeper: gantryd hears of a death soon") {
  keeper_process k;
  auto g = k.next();
  REQUIRE(g);
  std::vector<double> micros;
  for (int i = 0; i < 100; ++i) {
    auto pid = g.orphan("wait");
    int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    REQUIRE(pidfd >= 0);
    REQUIRE(::kill(pid, SIGKILL) == 0);
    pollfd p{pidfd, POLLIN, 0};
    REQUIRE(::poll(&p, 1, 10'000) == 1); // dead: from here on it is the keeper's time
    auto dead = std::chrono::steady_clock::now();
    REQUIRE(g.news());
    std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - dead;
    micros.push_back(took.count());
    ::close(pidfd);
    auto* entry = g.dead(pid);
    REQUIRE(entry != nullptr);
    entry->full.store(0);
  }
  std::sort(micros.begin(), micros.end());
  WARN("keeper: from a readable pidfd to the news, median " << micros[50] << " us, worst of 100 "
                                                            << micros.back() << " us");
  CHECK(micros[50] < 5000 * tests::slower());
}
