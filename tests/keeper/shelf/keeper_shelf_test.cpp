#include "io/keeper_shelf.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <sys/socket.h>
#include <unistd.h>

#include "io/reaper.hpp"
#include "tests/io/real_loop.hpp"
#include "tests/keeper/harness.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace std::chrono_literals;
using keeper_tests::fake;
using keeper_tests::keeper_process;
using keeper_tests::wait_until;

namespace {

/// The descriptors that gantryd would have, as duplicates of the test's own.
keeper_fds fds_of(const fake& g) {
  auto copy = [](int number) { return ::fcntl(number, F_DUPFD_CLOEXEC, 0); };
  return {copy(g.socket), copy(g.arena_fd()), copy(g.news_fd)};
}

struct rig {
  rig() : gantryd(keeper.next()) { REQUIRE(gantryd); }
  ~rig() { CHECK(r.l.drain(5s)); }

  std::unique_ptr<keeper_shelf> open() {
    auto opened = keeper_shelf::open(r.l, fds_of(gantryd));
    INFO((opened.ok() ? "" : opened.why().text()));
    REQUIRE(opened.ok());
    return std::move(*opened);
  }

  real_loop r;
  keeper_process keeper;
  fake gantryd;
};

} // namespace

TEST_CASE("keeper shelf: greets, puts, drops and lists", "[uring]") {
  rig t;
  {
    auto shelf = t.open();
    CHECK(shelf->keeper_pid() == t.keeper.pid);
    CHECK(shelf->generation() == 1);
    CHECK(shelf->memory().header().keeper_pid == t.keeper.pid);
    pipe_pair pipe(*t.r.kernel);
    const int fds[] = {pipe.reader.get(), pipe.writer.get()};
    shelf_note note{};
    note[63] = 'z';
    REQUIRE(shelf->put({2, 1}, note, fds).ok());
    REQUIRE(shelf->put({2, 2}, note, {}).ok());
    REQUIRE(shelf->put({2, 3}, note, fds).ok());
    REQUIRE(shelf->drop({2, 3}).ok());
    auto list = shelf->list();
    REQUIRE(list.ok());
    REQUIRE(list->size() == 2);
    CHECK((*list)[0].key == shelf_key{2, 1});
    CHECK((*list)[0].note == note);
    REQUIRE((*list)[0].fds.size() == 2);
    CHECK(t.r.kernel->write((*list)[0].fds[1].get(), {"x", 1}) == 1);
    CHECK(t.r.kernel->readable(pipe.reader.get()) == 1); // the same pipe
    CHECK(shelf->refused() == 0);
  }
}

TEST_CASE("keeper shelf: what a stopped keeper does not take waits in order", "[uring]") {
  rig t;
  {
    auto shelf = t.open();
    REQUIRE(::kill(t.keeper.pid, SIGSTOP) == 0);
    pipe_pair pipe(*t.r.kernel);
    for (uint64_t i = 0; i < 2000; ++i) {
      const int fds[] = {pipe.reader.get()};
      REQUIRE(shelf->put({2, i}, {}, fds).ok());
      if (i % 2 == 1)
        REQUIRE(shelf->drop({2, i}).ok());
    }
    pipe.reader.reset(); // what waits has its own duplicates
    CHECK(shelf->pending() > 0);
    t.r.l.turn(false);
    CHECK(shelf->pending() > 0);
    REQUIRE(::kill(t.keeper.pid, SIGCONT) == 0);
    REQUIRE(t.r.until([&shelf] { return shelf->pending() == 0; }));
    auto list = shelf->list();
    REQUIRE(list.ok());
    CHECK(list->size() == 1000);
    for (const auto& entry : *list)
      CHECK((entry.key.serial % 2 == 0 && entry.fds.size() == 1));
  }
}

TEST_CASE("keeper shelf: a refusal reaches the owner with its key", "[uring]") {
  rig t;
  {
    auto shelf = t.open();
    shelf_key which;
    std::string why;
    shelf->on_refused([&](const shelf_key& key, const error& e) {
      which = key;
      why = e.text();
      CHECK(e.code == ec::resource_exhausted);
    });
    for (uint64_t i = 0; i <= 8192; ++i) // one more than there is room for
      REQUIRE(shelf->put({2, i}, {}, {}).ok());
    REQUIRE(t.r.until([&shelf] { return shelf->refused() > 0; }));
    CHECK(which == shelf_key{2, 8192});
    CHECK(why.find("full") != std::string::npos);
  }
}

TEST_CASE("keeper shelf: the loss of the keeper is told once to each listener", "[uring]") {
  rig t;
  {
    auto shelf = t.open();
    int told = 0;
    shelf->on_lost([&told] { ++told; });
    shelf->on_lost([&told] { told += 10; });
    CHECK(shelf->alive());
    REQUIRE(::kill(t.keeper.pid, SIGKILL) == 0);
    REQUIRE(t.r.until([&told] { return told > 0; }));
    CHECK(told == 11);
    CHECK_FALSE(shelf->alive());
    CHECK(shelf->put({1, 1}, {}, {}).why().code == ec::unavailable);
    shelf->freed(); // harmless
    shelf->farewell();
    t.r.l.turn(false);
    CHECK(told == 11);
    CHECK(bool(shelf->memory())); // the arena stays
  }
}

TEST_CASE("keeper shelf: a keeper of another version is a clear error", "[uring]") {
  rig t;
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  keeper_wire::message answer{.version = 7, .what = keeper_wire::word::error, .value = 1,
                              .aux = 7};
  REQUIRE(send_packet(pair[1], answer, {}) == 0);
  auto fds = fds_of(t.gantryd);
  ::close(fds.socket);
  fds.socket = pair[0];
  auto opened = keeper_shelf::open(t.r.l, fds);
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.why().code == ec::unsupported);
  CHECK(opened.why().text().find("version 7") != std::string::npos);
  ::close(pair[1]);
}

TEST_CASE("keeper shelf: a farewell lets the keeper end, a ready keeps it at work", "[uring]") {
  rig t;
  {
    auto shelf = t.open();
    SECTION("farewell") {
      shelf->farewell();
      t.gantryd.kill(SIGKILL);
      CHECK(t.keeper.status() == (128 + SIGKILL) << 8);
    }
    SECTION("ready") {
      shelf->ready();
      t.gantryd.end(64);
      CHECK(t.keeper.next());
    }
  }
}

TEST_CASE("keeper shelf: the reaper hears of an orphan from the real keeper", "[uring]") {
  rig t;
  {
    auto shelf = t.open();
    reaper under_test(t.r.l, *shelf);
    under_test.start();
    std::vector<double> micros;
    for (int i = 0; i < 200; ++i) {
      auto pid = t.gantryd.orphan("wait");
      std::optional<death> got;
      process_key who{pid, uint64_t(t.r.kernel->start_ticks(pid))};
      REQUIRE(under_test.watch(who, [&got](const death& d) { got = d; }));
      t.r.l.turn(false); // the pidfd is being polled
      auto begin = std::chrono::steady_clock::now();
      REQUIRE(::kill(pid, SIGKILL) == 0);
      REQUIRE(t.r.until([&got] { return got.has_value(); }));
      std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
      micros.push_back(took.count());
      CHECK(got->status.known);
      CHECK(got->status.signal == SIGKILL);
    }
    std::sort(micros.begin(), micros.end());
    WARN("reaper: from SIGKILL to the report, median " << micros[100] << " us, worst of 200 "
                                                       << micros.back() << " us");
    for (const auto& x : shelf->memory().dead())
      CHECK(x.full == 0);
  }
}
