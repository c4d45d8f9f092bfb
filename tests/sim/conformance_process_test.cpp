// Processes and pidfds on both kernels.

#include <csignal>
#include <fcntl.h>
#include <poll.h>

#include "tests/sim/conformance_host.hpp"

using namespace gantry;
using sim::lab;
using sim::linux_host;
using sim::sim_host;

#define ON_BOTH(name) TEMPLATE_TEST_CASE("both kernels: " name, "[uring]", linux_host, sim_host)

ON_BOTH("a child that exits is a zombie, then reaped, then gone") {
  lab<TestType> x;
  const auto c = x.spawn("/bin/sleep", {"sleep", "1000"});
  CHECK(c.pid > 0);
  io::exit_status s;
  CHECK(x.k.reap(c.pidfd, s) == -EAGAIN);
  CHECK(x.poll_now(c.pidfd, POLLIN) == 0);
  CHECK(x.k.start_ticks(c.pid) > 0);
  CHECK(x.k.pidfd_signal(c.pidfd, 0) == 0);
  CHECK(x.k.pidfd_signal(c.pidfd, SIGKILL) == 0);
  CHECK(x.poll(c.pidfd, POLLIN) == POLLIN);
  CHECK(x.poll(c.pidfd, POLLIN) == POLLIN);         // Still a zombie: level.
  CHECK(x.k.pidfd_signal(c.pidfd, SIGKILL) == 0);   // A zombie takes signals.
  CHECK(x.k.start_ticks(c.pid) > 0);                // … and has a stat file.
  CHECK(x.k.reap(c.pidfd, s) == 0);
  CHECK(s.known);
  CHECK(s.signal == SIGKILL);
  CHECK(s.code == 0);
  CHECK_FALSE(s.core);
  CHECK(x.k.reap(c.pidfd, s) == -ECHILD);
  CHECK(x.k.pidfd_signal(c.pidfd, SIGKILL) == -ESRCH);
  CHECK(x.k.pidfd_open(c.pid) == -ESRCH);
  CHECK(x.k.start_ticks(c.pid) == -ESRCH);
  CHECK((x.poll(c.pidfd, POLLIN) & POLLIN) != 0);
  x.k.close(c.pidfd);
}

ON_BOTH("exit codes and signals arrive as they were") {
  lab<TestType> x;
  struct row {
    std::string path;
    std::vector<std::string> argv;
    int code, signal;
  };
  const row rows[] = {
    {"/bin/true", {"true"}, 0, 0},
    {"/bin/false", {"false"}, 1, 0},
    {"/bin/sh", {"sh", "-c", "exit 42"}, 42, 0},
    {"/bin/sh", {"sh", "-c", "kill -15 $$"}, 0, SIGTERM},
    {"/no/such/program", {"x"}, 127, 0},
    {"/etc/passwd", {"x"}, 126, 0},
  };
  for (const auto& r : rows) {
    INFO(r.path);
    const auto c = x.spawn(r.path, r.argv);
    const auto s = x.end_of(c);
    CHECK(s.known);
    CHECK(s.code == r.code);
    CHECK(s.signal == r.signal);
    x.k.close(c.pidfd);
  }
}

ON_BOTH("a second pidfd sees the same end, and only the parent reaps") {
  lab<TestType> x;
  const auto c = x.spawn("/bin/sleep", {"sleep", "1000"});
  const int other = x.k.pidfd_open(c.pid);
  REQUIRE(other >= 0);
  io::poll_op p(x.loop);
  bool ended = false;
  p.start(other, POLLIN, [&](int32_t) { ended = true; });
  x.loop.turn(false);
  CHECK(!ended);
  CHECK(x.k.pidfd_signal(other, SIGTERM) == 0);
  x.until([&] { return ended; });
  io::exit_status s;
  CHECK(x.k.reap(other, s) == 0);
  CHECK(s.signal == SIGTERM);
  CHECK(x.k.reap(c.pidfd, s) == -ECHILD);
  x.k.close(other);
  x.k.close(c.pidfd);
}

ON_BOTH("a child's words come through its pipe, and its end closes it") {
  lab<TestType> x;
  int out[2];
  REQUIRE(x.k.pipe(out, 0) == 0);
  const int null = x.k.open("/dev/null", O_RDWR);
  io::child c;
  REQUIRE(x.k.spawn({"/bin/sh", {"sh", "-c", "echo hello"}, {}, "/",
                     {{null, 0}, {out[1], 1}, {null, 2}}},
                    c) == 0);
  x.k.close(out[1]);
  x.k.close(null);
  std::string all;
  x.until([&] {
    x.poll(out[0], POLLIN);
    char into[16];
    const auto n = x.k.read(out[0], into);
    if (n > 0)
      all.append(into, size_t(n));
    return n == 0;
  });
  CHECK(all == "hello\n");
  CHECK(x.end_of(c).code == 0);
  x.k.close(out[0]);
  x.k.close(c.pidfd);
}

ON_BOTH("procfs knows a living process") {
  lab<TestType> x;
  const auto c = x.spawn("/bin/sleep", {"sleep", "1000"});
  std::vector<std::string> names;
  CHECK(x.k.list("/proc", names) == 0);
  CHECK(std::count(names.begin(), names.end(), std::to_string(c.pid)) == 1);
  std::string stat;
  CHECK(x.k.read_small("/proc/" + std::to_string(c.pid) + "/stat", stat) == 0);
  CHECK(stat.starts_with(std::to_string(c.pid) + " ("));
  std::string environ;
  x.until([&] {
    return x.k.read_small("/proc/" + std::to_string(c.pid) + "/environ", environ) == 0 &&
           environ == std::string("PATH=/bin\0", 10);
  });
  CHECK(x.k.pidfd_signal(c.pidfd, SIGKILL) == 0);
  x.end_of(c);
  CHECK(x.k.read_small("/proc/" + std::to_string(c.pid) + "/stat", stat) == -ENOENT);
  CHECK(x.k.read_small("/proc/self/mountinfo", stat) == 0);
  CHECK(x.k.read_small("/proc/sys/kernel/random/boot_id", stat) == 0);
  CHECK(stat.size() == 37);
  x.k.close(c.pidfd);
}
