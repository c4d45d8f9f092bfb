#include "io/loop.hpp"

#include <csignal>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "io/poll.hpp"
#include "io/watchdog.hpp"
#include "real_loop.hpp"

using namespace gantry::io;
using namespace std::chrono_literals;

TEST_CASE("loop: posted work runs in order and never inside post", "[uring]") {
  real_loop r;
  std::vector<int> seen;
  r.l.post([&] {
    seen.push_back(1);
    r.l.post([&] { seen.push_back(3); });
    seen.push_back(2);
  });
  CHECK(seen.empty());
  r.l.turn(false);
  CHECK(seen == std::vector{1, 2});
  r.l.turn(true); // Does not wait: there is work.
  CHECK(seen == std::vector{1, 2, 3});
  CHECK_FALSE(r.l.turn(false));
}

TEST_CASE("loop: timers fire in order of their time, not before it, and only once", "[uring]") {
  real_loop r;
  std::vector<int> seen;
  auto began = r.kernel->monotonic();
  nanoseconds late_at{0};
  timer late(r.l), early(r.l), never(r.l);
  late.start(20ms, [&] {
    seen.push_back(2);
    late_at = r.kernel->monotonic();
  });
  early.start(5ms, [&] { seen.push_back(1); });
  never.start(1ms, [&] { seen.push_back(9); });
  never.cancel();
  REQUIRE(r.until([&] { return seen.size() == 2; }));
  CHECK(seen == std::vector{1, 2});
  CHECK(late_at - began >= 20ms);
  CHECK_FALSE(late.armed());
  CHECK_FALSE(early.armed());
}

TEST_CASE("loop: a timer may destroy itself or another due timer from its callback", "[uring]") {
  real_loop r;
  auto first = std::make_unique<timer>(r.l);
  auto second = std::make_unique<timer>(r.l);
  int fired = 0;
  first->start(0ns, [&] {
    ++fired;
    second.reset();
    first.reset();
  });
  second->start(1ns, [&] { ++fired; });
  REQUIRE(r.until([&] { return !first; }));
  r.l.turn(false);
  CHECK(fired == 1);
}

TEST_CASE("loop: a timer of zero that starts itself again leaves room for others", "[uring]") {
  real_loop r;
  timer again(r.l);
  int spins = 0;
  std::function<void()> spin = [&] {
    ++spins;
    again.start(0ns, [&] { spin(); });
  };
  spin();
  bool posted = false;
  r.l.post([&] { posted = true; });
  REQUIRE(r.until([&] { return posted && spins > 3; }));
}

TEST_CASE("loop: stop from another thread ends a loop that sleeps without end", "[uring]") {
  real_loop r;
  bool ran = false;
  std::thread other;
  r.l.post([&] {
    ran = true;
    other = std::thread([&] { r.l.stop(); });
  });
  r.l.run();
  other.join();
  CHECK(ran);
}

TEST_CASE("loop: stop works from a signal handler, and before run", "[uring]") {
  static loop* current = nullptr;
  real_loop r;
  current = &r.l;
  struct sigaction action {}, before {};
  action.sa_handler = [](int) { current->stop(); };
  ::sigaction(SIGUSR1, &action, &before);
  ::raise(SIGUSR1); // Before run: it returns after at most one turn.
  r.l.run();
  timer later(r.l);
  later.start(5ms, [] { ::raise(SIGUSR1); });
  r.l.run();
  CHECK_FALSE(later.armed());
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("loop: an op that is done cannot be destroyed by the callback of another", "[uring]") {
  // Both complete in the same turn; the first one cancels the other, which is done already.
  // Which that is, is the kernel's affair: 6.1 tells of the later one first.
  real_loop r;
  pipe_pair a(*r.kernel), b(*r.kernel);
  poll_op first(r.l), second(r.l);
  int32_t first_res = 0, second_res = 0;
  bool other_in_flight = false;
  auto done = [&](int32_t& mine, int32_t res, poll_op& other, int32_t others) {
    mine = res;
    if (others != 0)
      return;
    other_in_flight = other.in_flight();
    other.cancel();
  };
  first.start(a.reader.get(), POLLIN,
              [&](int32_t res) { done(first_res, res, second, second_res); });
  second.start(b.reader.get(), POLLIN,
               [&](int32_t res) { done(second_res, res, first, first_res); });
  r.l.turn(false);
  r.kernel->write(a.writer.get(), std::string_view("x"));
  r.kernel->write(b.writer.get(), std::string_view("x"));
  REQUIRE(r.until([&] { return first_res != 0 && second_res != 0; }));
  CHECK(first_res == POLLIN);
  CHECK(other_in_flight);
  CHECK(second_res == POLLIN);
  CHECK(r.l.drain(1s));
}

TEST_CASE("loop: drain waits for what is cancelled, and says when it was in vain", "[uring]") {
  real_loop r;
  pipe_pair p(*r.kernel);
  poll_op waits(r.l);
  int32_t res = 0;
  waits.start(p.reader.get(), POLLIN, [&](int32_t x) { res = x; });
  CHECK(r.l.in_flight() == 1);
  CHECK_FALSE(r.l.drain(10ms));
  CHECK(res == 0);
  waits.cancel();
  CHECK(r.l.drain(5s));
  CHECK(res == -ECANCELED);
  CHECK(r.l.in_flight() == 0);
}

namespace {

struct countdown : turn_hook {
  void run_some() override { left -= left > 0; }
  bool ready() const noexcept override { return left > 0; }
  nanoseconds deadline() const noexcept override { return due; }
  int left = 0;
  nanoseconds due = nanoseconds::max();
};

} // namespace

TEST_CASE("loop: a ready hook keeps the loop from waiting, its deadline ends a wait", "[uring]") {
  real_loop r;
  countdown hook;
  r.l.add_hook(hook);
  hook.left = 3;
  for (int i = 0; i < 3; ++i)
    r.l.turn(true);
  CHECK(hook.left == 0);
  hook.due = r.kernel->monotonic() + 5ms;
  r.l.turn(true);
  CHECK(r.kernel->monotonic() >= hook.due);
  r.l.remove_hook(hook);
  hook.left = 1;
  r.l.turn(false);
  CHECK(hook.left == 1);
}

TEST_CASE("loop: a hook may leave from within its turn", "[uring]") {
  struct leaver : turn_hook {
    explicit leaver(loop& x) : l(x) {}
    void run_some() override {
      ++runs;
      l.remove_hook(*this);
    }
    bool ready() const noexcept override { return false; }
    nanoseconds deadline() const noexcept override { return nanoseconds::max(); }
    loop& l;
    int runs = 0;
  };
  real_loop r;
  leaver first(r.l);
  countdown second;
  second.left = 2;
  r.l.add_hook(first);
  r.l.add_hook(second);
  r.l.turn(false);
  r.l.turn(false);
  CHECK(first.runs == 1);
  CHECK(second.left == 0);
  r.l.remove_hook(second);
}

TEST_CASE("loop: turns longer than the policy are counted and the longest is kept", "[uring]") {
  real_loop r;
  r.l.post([&] {
    auto end = r.kernel->monotonic() + 7ms;
    while (r.kernel->monotonic() < end) {
    }
  });
  r.l.turn(false);
  r.l.turn(false);
  CHECK(r.l.stats().slow_turns >= 1);
  CHECK(r.l.stats().longest_turn_ns >= 7'000'000);
  CHECK(r.l.stats().turns == 2);
}

TEST_CASE("loop: what took the longest in a slow turn is named", "[uring]") {
  real_loop r;
  const auto spin = [&r] {
    const auto end = r.kernel->monotonic() + 7ms;
    while (r.kernel->monotonic() < end) {
    }
  };
  const auto slow_part = [&r](auto begin) {
    const auto before = r.l.stats().slow_turns;
    begin();
    while (r.l.stats().slow_turns == before)
      r.l.turn(true);
    CHECK(r.l.stats().slow_part_ns >= 7'000'000);
    return r.l.stats().slow_part;
  };
  const std::string posted = slow_part([&] {
    r.l.post([] {});
    r.l.post(spin);
    r.l.post([] {});
  });
  CHECK(posted.starts_with("posted "));
  CHECK(posted.find("lambda") != std::string::npos); // Readable, and with the function it is in.
  timer due(r.l);
  CHECK(slow_part([&] { due.start(1ms, spin); }).starts_with("timer "));
  poll_op readable(r.l);
  int ends[2];
  REQUIRE(r.kernel->pipe(ends, 2) == 0);
  const fd from(*r.kernel, ends[0]);
  const fd to(*r.kernel, ends[1]);
  CHECK(slow_part([&] {
          readable.start(from.get(), POLLIN, [&spin](int32_t) { spin(); });
          REQUIRE(r.kernel->write(to.get(), std::string_view("x")) == 1);
        }).starts_with("completion "));
}

// The limits leave room for a crowded machine, which may take a turn's time away.

namespace {

/// Runs `body` in a child and tells how it ended.
template <class F>
int status_of(F body) {
  auto pid = ::fork();
  if (pid == 0) {
    rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    struct sigaction plain {};
    plain.sa_handler = SIG_DFL; // Catch2's own handler would print a report.
    ::sigaction(SIGABRT, &plain, nullptr);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

void busy_for(std::chrono::milliseconds time) {
  auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

} // namespace

TEST_CASE("watchdog: a turn without end is a death by SIGABRT, an idle loop is not", "[uring]") {
  auto hang = status_of([] {
    real_loop r;
    watchdog dog(100ms);
    r.l.set_watchdog(&dog);
    r.l.post([] { busy_for(5000ms); });
    r.l.turn(true);
  });
  CHECK(WIFSIGNALED(hang));
  CHECK(WTERMSIG(hang) == SIGABRT);

  auto idle = status_of([] {
    real_loop r;
    watchdog dog(800ms);
    r.l.set_watchdog(&dog);
    timer later(r.l);
    later.start(1200ms, [&r] { r.l.stop(); });
    r.l.run();
  });
  CHECK(WIFEXITED(idle));
  CHECK(WEXITSTATUS(idle) == 0);
}

TEST_CASE("watchdog: a loop that is busy in short turns lives longer than the limit", "[uring]") {
  auto status = status_of([] {
    real_loop r;
    watchdog dog(800ms);
    r.l.set_watchdog(&dog);
    auto end = r.kernel->monotonic() + 1200ms;
    while (r.kernel->monotonic() < end) {
      r.l.post([] { busy_for(1ms); });
      r.l.turn(true);
    }
  });
  CHECK(WIFEXITED(status));
}
