#include "io/linux_spawn.hpp"

#include <csignal>
#include <fcntl.h>
#include <map>
#include <poll.h>
#include <set>
#include <sstream>
#include <sys/resource.h>
#include <unistd.h>

#include "io/poll.hpp"
#include "real_loop.hpp"

using namespace gantry::io;
using namespace std::chrono_literals;

namespace {

/// Runs a program with its stdout and stderr in a pipe, to its end.
struct run_result {
  int spawned = -1;
  exit_status status;
  std::string output;
};

run_result run(real_loop& r, spawn_request what, std::vector<std::pair<int, int>> more = {}) {
  run_result out;
  int ends[2];
  REQUIRE(r.kernel->pipe(ends, 0) == 0);
  fd reader(*r.kernel, ends[0]);
  fd writer(*r.kernel, ends[1]);
  int null = r.kernel->open("/dev/null", O_RDONLY, 0);
  REQUIRE(null >= 0);
  fd input(*r.kernel, null);
  what.fds = {{null, 0}, {ends[1], 1}, {ends[1], 2}};
  what.fds.insert(what.fds.end(), more.begin(), more.end());
  child c;
  out.spawned = r.kernel->spawn(what, c);
  if (out.spawned < 0)
    return out;
  writer.reset();
  fd pidfd(*r.kernel, c.pidfd);
  poll_op ended(r.l);
  bool is_over = false;
  ended.start(c.pidfd, POLLIN, [&](int32_t res) { is_over = res > 0; });
  REQUIRE(r.until([&] { return is_over; }));
  REQUIRE(r.kernel->reap(c.pidfd, out.status) == 0);
  char part[4096];
  for (ssize_t n; (n = r.kernel->read(reader.get(), part)) > 0;)
    out.output.append(part, size_t(n));
  return out;
}

spawn_request shell(const std::string& script) {
  return {"/bin/sh", {"sh", "-c", script}, {"PATH=/usr/bin:/bin", "GREETING=hello there"}, "/", {}};
}

/// `Name:\tvalue` lines of /proc/PID/status.
std::map<std::string, std::string> fields_of(const std::string& text) {
  std::map<std::string, std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (auto colon = line.find(":\t"); colon != std::string::npos)
      out[line.substr(0, colon)] = line.substr(colon + 2);
  return out;
}

} // namespace

TEST_CASE("spawn: a child gets the limit of files that it is given, not a raised one", "[uring]") {
  real_loop r;
  rlimit ours{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &ours) == 0);
  const rlimit theirs{100, ours.rlim_max};
  r.kernel->limit_children(theirs);
  CHECK(run(r, shell("ulimit -Sn")).output == "100\n");
}

TEST_CASE("spawn: two hundred short programs end with their codes", "[uring]") {
  real_loop r;
  for (int i = 0; i < 200; ++i) {
    auto x = run(r, {"/bin/true", {"true"}, {}, "/", {}});
    REQUIRE(x.spawned == 0);
    REQUIRE(x.status.known);
    REQUIRE(x.status.code == 0);
  }
}

TEST_CASE("spawn: many at once end each with its own code", "[uring]") {
  real_loop r;
  struct running {
    explicit running(loop& l) : ended(l) {}
    fd pidfd;
    poll_op ended;
    exit_status status;
  };
  std::vector<std::unique_ptr<running>> all;
  int null = r.kernel->open("/dev/null", O_RDWR, 0);
  fd keep(*r.kernel, null);
  size_t over = 0;
  for (int i = 0; i < 100; ++i) {
    auto x = shell("exit " + std::to_string(i));
    x.fds = {{null, 0}, {null, 1}, {null, 2}};
    child c;
    REQUIRE(r.kernel->spawn(x, c) == 0);
    auto& p = *all.emplace_back(std::make_unique<running>(r.l));
    p.pidfd = fd(*r.kernel, c.pidfd);
    p.ended.start(c.pidfd, POLLIN, [&r, &p, &over](int32_t) {
      REQUIRE(r.kernel->reap(p.pidfd.get(), p.status) == 0);
      ++over;
    });
  }
  REQUIRE(r.until([&] { return over == all.size(); }));
  for (size_t i = 0; i < all.size(); ++i)
    CHECK(all[i]->status.code == int(i));
}

TEST_CASE("spawn: the program gets its environment, directory, session and arguments", "[uring]") {
  real_loop r;
  auto what = shell("env; pwd; echo \"$#:$1\"; umask; ps -o sid= -p $$; echo $$");
  what.argv.insert(what.argv.end(), {"sh", "one argument"});
  what.workdir = "/usr";
  auto x = run(r, what);
  INFO(x.output);
  REQUIRE(x.status.code == 0);
  std::istringstream lines(x.output);
  std::set<std::string> env;
  std::string line;
  while (std::getline(lines, line) && line != "/usr")
    env.insert(line);
  env.erase("_=/usr/bin/env");
  env.erase("PWD=/usr");
  CHECK(env == std::set<std::string>{"PATH=/usr/bin:/bin", "GREETING=hello there"});
  std::getline(lines, line);
  CHECK(line == "1:one argument");
  std::getline(lines, line);
  CHECK(line == "0022");
  long session = 0, pid = 1;
  lines >> session >> pid;
  CHECK(session == pid);
}

TEST_CASE("spawn: nothing of our descriptors and signals leaks into the program", "[uring]") {
  real_loop r;
  // What a parent may have: descriptors without close-on-exec, ignored, caught and blocked
  // signals.
  int leaky = ::open("/dev/null", O_RDONLY);
  int high = ::fcntl(leaky, F_DUPFD, 200);
  struct sigaction ignore {}, handle {}, was_pipe {}, was_usr {};
  ignore.sa_handler = SIG_IGN;
  handle.sa_handler = [](int) {};
  ::sigaction(SIGPIPE, &ignore, &was_pipe);
  ::sigaction(SIGUSR2, &handle, &was_usr);
  sigset_t blocked, before;
  ::sigfillset(&blocked);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);

  // cat itself tells: a shell changes its own dispositions.
  auto status = run(r, {"/bin/cat", {"cat", "/proc/self/status"}, {}, "/", {}});
  auto fds = run(r, {"/bin/ls", {"ls", "-1", "/proc/self/fd"}, {}, "/", {}});

  sigset_t after;
  ::sigprocmask(SIG_SETMASK, &before, &after);
  ::sigaction(SIGPIPE, &was_pipe, nullptr);
  ::sigaction(SIGUSR2, &was_usr, nullptr);
  ::close(leaky);
  ::close(high);

  auto fields = fields_of(status.output);
  CHECK(fields["SigBlk"] == "0000000000000000");
  CHECK(fields["SigIgn"] == "0000000000000000");
  CHECK(fields["SigCgt"] == "0000000000000000");
  CHECK(fds.output == "0\n1\n2\n3\n"); // 3 is the directory that ls reads.
  CHECK(::sigismember(&after, SIGTERM) == 1); // Our own mask came back as it was.
}

TEST_CASE("spawn: descriptors that overlap with their targets all arrive", "[uring]") {
  real_loop r;
  pipe_pair a(*r.kernel), b(*r.kernel);
  r.kernel->write(a.writer.get(), std::string_view("from a\n"));
  r.kernel->write(b.writer.get(), std::string_view("from b\n"));
  a.writer.reset();
  b.writer.reset();
  // Crosswise: each source has the number of the other one's target, and a gap above.
  int x = a.reader.get(), y = b.reader.get();
  auto got = run(r, shell("cat <&" + std::to_string(y) + "; cat <&" + std::to_string(x) +
                          "; ls -1 /proc/self/fd | wc -l"),
                 {{x, y}, {y, x}, {x, std::max(x, y) + 5}});
  CHECK(got.output == "from a\nfrom b\n7\n"); // 0, 1, 2, three more, and the directory.
}

TEST_CASE("spawn: a program that cannot be executed ends with 127 or 126", "[uring]") {
  real_loop r;
  CHECK(run(r, {"/no/such/program", {"x"}, {}, "/", {}}).status.code == 127);
  CHECK(run(r, {"/etc/passwd", {"x"}, {}, "/", {}}).status.code == 126);
  CHECK(run(r, {"/usr", {"x"}, {}, "/", {}}).status.code == 126);
  CHECK(run(r, {"/bin/true", {"x"}, {}, "/no/such/dir", {}}).status.code == 126);
}

TEST_CASE("spawn: a child without room for its descriptors ends with 125", "[uring]") {
  real_loop r;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const fd first(*r.kernel, r.kernel->eventfd());
  REQUIRE(first);
  // The pipe, its input and the pidfd still fit; the copies that the child makes do not.
  rlimit low{rlim_t(first.get()) + 5, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  const auto got = run(r, {"/bin/true", {"x"}, {}, "/", {}});
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(got.spawned >= 0);
  CHECK(got.status.code == 125);
}

TEST_CASE("spawn: a signal is told apart from a code", "[uring]") {
  real_loop r;
  auto x = run(r, shell("kill -KILL $$"));
  CHECK(x.status.signal == SIGKILL);
  CHECK(x.status.code == 0);
  CHECK_FALSE(x.status.core);
}

TEST_CASE("spawn: the call does not wait for the exec", "[uring]") {
  real_loop r;
  spawner s;
  int null = r.kernel->open("/dev/null", O_RDWR, 0);
  fd keep(*r.kernel, null);
  std::vector<child> children;
  size_t seen_before_exec = 0;
  for (int i = 0; i < 50; ++i) {
    child c;
    spawn_request what{"/bin/true", {"true"}, {}, "/", {{null, 0}, {null, 1}, {null, 2}}};
    REQUIRE(s.spawn(what, c) == 0);
    seen_before_exec += s.before_exec();
    children.push_back(c);
  }
  CHECK(seen_before_exec > 0); // At least once we were back first.
  for (auto& c : children) {
    exit_status st;
    poll_op ended(r.l);
    bool over = false;
    ended.start(c.pidfd, POLLIN, [&](int32_t) { over = true; });
    REQUIRE(r.until([&] { return over; }));
    REQUIRE(r.kernel->reap(c.pidfd, st) == 0);
    CHECK(st.code == 0);
    r.kernel->close(c.pidfd);
  }
  CHECK(s.before_exec() == 0);
}

TEST_CASE("spawn: a pidfd that is closed before the exec harms nobody", "[uring]") {
  real_loop r;
  int null = r.kernel->open("/dev/null", O_RDWR, 0);
  fd keep(*r.kernel, null);
  for (int i = 0; i < 50; ++i) {
    child c;
    spawn_request what{"/bin/true", {"true"}, {}, "/", {{null, 0}, {null, 1}, {null, 2}}};
    REQUIRE(r.kernel->spawn(what, c) == 0);
    fd second(*r.kernel, r.kernel->pidfd_open(c.pid));
    REQUIRE(r.kernel->close(c.pidfd) == 0);
    exit_status st;
    poll_op ended(r.l);
    bool over = false;
    ended.start(second.get(), POLLIN, [&](int32_t) { over = true; });
    REQUIRE(r.until([&] { return over; }));
    REQUIRE(r.kernel->reap(second.get(), st) == 0);
    CHECK(st.code == 0);
  }
}
