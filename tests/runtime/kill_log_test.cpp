#include "runtime/kill_log.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <limits>
#include <sys/wait.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "io/loop.hpp"

using namespace gantry;
using namespace gantry::runtime;

TEST_CASE("kill log: the kernel's line about a kill for want of memory, and nothing else") {
  const auto of = [](std::string_view record) { return parse_oom_kill(record); };
  const auto own = of("3,73537,50084878243,-;Memory cgroup out of memory: Killed process 17107 "
                      "(tail) total-vm:17960kB, anon-rss:15744kB, UID:0 oom_score_adj:0\n");
  REQUIRE(own);
  CHECK(own->pid == 17107);
  CHECK(own->at_us == 50084878243);
  const auto host = of("3,5,60,-,caller=T1;Out of memory: Killed process 7 (a) b) total-vm:1kB\n");
  REQUIRE(host);
  CHECK(host->pid == 7);
  // Anybody with root may write there; it has a facility then.
  CHECK_FALSE(of("11,6,60,-;Out of memory: Killed process 7 (a) total-vm:1kB\n"));
  for (const char* other :
       {"", ";", "3", "3,1", "3,1,2,-", "x,1,2,-;Out of memory: Killed process 7 (a)",
        "3,1,2,-;Killed process 7 (a)", "3,1,2,-;Out of memory: Killed process x (a)",
        "3,1,2,-;Out of memory: Killed process 7", "3,1,2,-;tail invoked oom-killer: order=0",
        "3,1,2,-;Out of memory: Killed process 99999999999 (a)"}) {
    INFO(other);
    CHECK_FALSE(of(other));
  }
}

TEST_CASE("kill log: how far it reaches back") {
  CHECK(known_since("6,12,3000,-;x") == 3000);
  CHECK(*known_since("6,0,0,-;Linux version 6.1") <= -300'000'000); // There was nothing before.
  CHECK_FALSE(known_since("nonsense"));
}

TEST_CASE("kill log: nobody that it does not name was killed, and what it cannot know it says",
          "[root]") {
  const auto made = io::linux_kernel::make();
  REQUIRE(made.ok());
  auto& k = **made;
  io::loop loop(k);
  kill_log log(loop);
  const auto now = k.realtime().count();
  CHECK(log.ask(::getpid(), now) == kill_log::answer::unknown); // Nothing was read yet.
  bool read = log.read([&read] { read = true; });
  while (!read)
    loop.turn(true);
  const auto told = log.ask(::getpid(), now);
  CHECK(told != kill_log::answer::killed);
  CHECK(log.ask(0, now) == kill_log::answer::unknown);
  // Long before this host was booted.
  CHECK(log.ask(::getpid(), now - std::numeric_limits<int64_t>::max() / 4)
        == kill_log::answer::unknown);
}

TEST_CASE("kill log: whether a process is about to end") {
  const auto made = io::linux_kernel::make();
  REQUIRE(made.ok());
  auto& k = **made;
  const auto own = k.start_ticks(::getpid());
  CHECK_FALSE(is_ending(k, ::getpid(), uint64_t(own)));
  CHECK(is_ending(k, ::getpid(), uint64_t(own) + 1)); // Another one with its number.
  const auto child = ::fork();
  if (child == 0)
    ::_exit(0);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(is_ending(k, child, uint64_t(k.start_ticks(child)))); // A zombie.
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(is_ending(k, child, 0));
}
