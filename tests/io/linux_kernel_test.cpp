#include "io/linux_kernel.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <set>
#include <sys/wait.h>
#include <unistd.h>

#include "io/poll.hpp"
#include "real_loop.hpp"

using namespace gantry::io;
using namespace std::chrono_literals;

TEST_CASE("linux_kernel: more requests than the queue holds all complete", "[uring]") {
  auto made = linux_kernel::make({.sq_entries = 8, .cq_entries = 16});
  REQUIRE(made.ok());
  auto& k = **made;
  loop l(k);
  pipe_pair p(k);
  constexpr size_t many = 1000; // Far beyond both queues: the kernel's overflow list is used.
  std::vector<std::unique_ptr<poll_op>> ops;
  size_t done = 0;
  for (size_t i = 0; i < many; ++i) {
    ops.push_back(std::make_unique<poll_op>(l));
    ops.back()->start(p.reader.get(), POLLIN, [&](int32_t res) { done += res == POLLIN; });
  }
  CHECK(done == 0); // A full queue flushes but completes nobody.
  CHECK(l.in_flight() == many);
  l.turn(false);
  CHECK(done == 0);
  k.write(p.writer.get(), std::string_view("x"));
  CHECK(l.drain(5s));
  CHECK(done == many);
}

TEST_CASE("linux_kernel: cancel reaches queued and waiting requests, once each", "[uring]") {
  real_loop r;
  pipe_pair p(*r.kernel);
  poll_op queued(r.l), waiting(r.l);
  int queued_res = 0, waiting_res = 0, calls = 0;
  waiting.start(p.reader.get(), POLLIN, [&](int32_t res) { waiting_res = res, ++calls; });
  r.l.turn(false); // Now in the kernel.
  queued.start(p.reader.get(), POLLIN, [&](int32_t res) { queued_res = res, ++calls; });
  queued.cancel();
  waiting.cancel();
  waiting.cancel(); // Twice does no harm.
  CHECK(calls == 0); // Never from inside cancel.
  CHECK(r.l.drain(5s));
  CHECK(queued_res == -ECANCELED);
  CHECK(waiting_res == -ECANCELED);
  CHECK(calls == 2);
  queued.cancel(); // At rest: harmless.
  r.l.turn(false);
  CHECK(calls == 2);
}

TEST_CASE("linux_kernel: a turn with a past deadline collects without waiting", "[uring]") {
  real_loop r;
  pipe_pair p(*r.kernel);
  poll_op op(r.l);
  int res = 0;
  op.start(p.reader.get(), POLLIN, [&](int32_t x) { res = x; });
  CHECK_FALSE(r.l.turn(false));
  r.kernel->write(p.writer.get(), std::string_view("x"));
  CHECK(r.l.turn(false)); // The flag of the ring tells that an enter is worth it.
  CHECK(res == POLLIN);
}

TEST_CASE("linux_kernel: wake ends the next wait, and is used up by it", "[uring]") {
  real_loop r;
  r.kernel->wake();
  r.kernel->wake();
  std::vector<completion> out;
  r.kernel->turn(nanoseconds::max(), out); // Returns.
  CHECK(out.empty());
  auto began = r.kernel->monotonic();
  r.kernel->turn(began + 20ms, out); // The wake was used up: this one waits.
  CHECK(r.kernel->monotonic() - began >= 20ms);
}

TEST_CASE("linux_kernel: a signal ends a wait and loses nothing", "[uring]") {
  real_loop r;
  struct sigaction action {}, before {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, &before);
  pipe_pair p(*r.kernel);
  poll_op op(r.l);
  int res = 0;
  op.start(p.reader.get(), POLLIN, [&](int32_t x) { res = x; });
  ::ualarm(5000, 0);
  r.l.turn(true); // Ended by the signal.
  CHECK(res == 0);
  r.kernel->write(p.writer.get(), std::string_view("x"));
  CHECK(r.until([&] { return res != 0; }));
  ::sigaction(SIGALRM, &before, nullptr);
}

TEST_CASE("linux_kernel: its own descriptors are close-on-exec", "[uring]") {
  auto numbers = [] {
    std::set<int> out;
    for (auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
      out.insert(std::stoi(entry.path().filename()));
    return out;
  };
  auto before = numbers(); // What the tests were started with is not ours.
  real_loop r;
  pipe_pair p(*r.kernel);
  fd event(*r.kernel, r.kernel->eventfd());
  fd self(*r.kernel, r.kernel->pidfd_open(::getpid()));
  fd dir(*r.kernel, r.kernel->open("/proc/self/fd", O_RDONLY | O_DIRECTORY, 0));
  size_t checked = 0;
  for (int number : numbers()) {
    int flags = ::fcntl(number, F_GETFD); // The listing's own is closed by now.
    if (before.count(number) != 0 || flags < 0)
      continue;
    INFO("descriptor " << number);
    CHECK((flags & FD_CLOEXEC) != 0);
    ++checked;
  }
  CHECK(checked >= 6); // The ring and its eventfd too.
}

TEST_CASE("linux_kernel: a pipe is non-blocking at our end only", "[uring]") {
  real_loop r;
  int ends[2];
  REQUIRE(r.kernel->pipe(ends, 0) == 0);
  fd reader(*r.kernel, ends[0]), writer(*r.kernel, ends[1]);
  CHECK((::fcntl(ends[0], F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(ends[1], F_GETFL) & O_NONBLOCK) == 0);
  CHECK(r.kernel->set_pipe_size(ends[0], 4096) == 4096);
  char into[8];
  CHECK(r.kernel->read(ends[0], into) == -EAGAIN);
  CHECK(r.kernel->write(ends[1], std::string_view("abc")) == 3);
  CHECK(r.kernel->readable(ends[0]) == 3);
  pipe_pair copy(*r.kernel);
  CHECK(r.kernel->tee(ends[0], copy.writer.get(), 100) == 3);
  CHECK(r.kernel->readable(ends[0]) == 3);
  CHECK(r.kernel->readable(copy.reader.get()) == 3);
}

TEST_CASE("linux_kernel: small files are read, written, listed and removed", "[uring]") {
  real_loop r;
  auto& k = *r.kernel;
  char name[] = "/tmp/gantry-kernel-XXXXXX";
  std::string dir = ::mkdtemp(name);
  auto file = dir + "/a";
  CHECK(k.exists(file) == 0);
  CHECK(k.write_small(file, "x") == -ENOENT);
  CHECK(k.create_small(file, "twelve bytes", 0600) == 0);
  CHECK(k.exists(file) == 1);
  std::string text;
  CHECK(k.read_small(file, text, 12) == 0);
  CHECK(text == "twelve bytes");
  CHECK(k.read_small(file, text, 11) == -EFBIG);
  CHECK(k.write_small(file, "T") == 0);
  CHECK(k.rename(file, dir + "/b") == 0);
  CHECK(k.mkdir(dir + "/c", 0700) == 0);
  CHECK(k.mkdir(dir + "/c", 0700) == -EEXIST);
  std::vector<std::string> names;
  CHECK(k.list(dir, names) == 0);
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"b", "c"});
  CHECK(k.rmdir(dir) == -ENOTEMPTY);
  fd open(k, k.open(dir + "/b", O_RDONLY, 0));
  char part[4];
  CHECK(k.pread(open.get(), part, 7) == 4);
  CHECK(std::string(part, 4) == "byte");
  CHECK(k.unlink(dir + "/b") == 0);
  CHECK(k.rmdir(dir + "/c") == 0);
  CHECK(k.rmdir(dir) == 0);
  CHECK(k.list(dir, names) == -ENOENT);
}

TEST_CASE("linux_kernel: start times are read behind any process name", "[uring]") {
  real_loop r;
  auto own = r.kernel->start_ticks(::getpid());
  CHECK(own > 0);
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  auto pid = ::fork();
  if (pid == 0) {
    std::string evil = "a) R 1 (b c";
    auto f = ::open("/proc/self/comm", O_WRONLY);
    [[maybe_unused]] auto n = ::write(f, evil.data(), evil.size());
    n = ::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char c;
  REQUIRE(::read(ready[0], &c, 1) == 1);
  auto ticks = r.kernel->start_ticks(pid);
  CHECK(ticks >= own);
  CHECK(ticks < own + 100 * 3600 * 24);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  CHECK(r.kernel->start_ticks(pid) == -ESRCH);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("linux_kernel: reap and pidfd_signal tell who is alive, dead and gone", "[uring]") {
  real_loop r;
  auto pid = ::fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  fd pidfd(*r.kernel, r.kernel->pidfd_open(pid));
  exit_status st;
  CHECK(r.kernel->reap(pidfd.get(), st) == -EAGAIN);
  CHECK(r.kernel->pidfd_signal(pidfd.get(), SIGKILL) == 0);
  poll_op ended(r.l);
  bool over = false;
  ended.start(pidfd.get(), POLLIN, [&](int32_t) { over = true; });
  REQUIRE(r.until([&] { return over; }));
  CHECK(r.kernel->pidfd_signal(pidfd.get(), 0) == 0); // A zombie.
  CHECK(r.kernel->reap(pidfd.get(), st) == 0);
  CHECK(st.signal == SIGKILL);
  CHECK(r.kernel->reap(pidfd.get(), st) == -ECHILD);
  CHECK(r.kernel->pidfd_signal(pidfd.get(), 0) == -ESRCH);
  CHECK(r.kernel->pidfd_open(pid) == -ESRCH);
}

TEST_CASE("linux_kernel: the status of another's child is told after its reap",
          "[uring][pidfd_info]") {
  real_loop r;
  auto pid = ::fork();
  if (pid == 0) {
    ::raise(SIGSTOP);
    ::_exit(42);
  }
  fd pidfd(*r.kernel, r.kernel->pidfd_open(pid));
  exit_status st;
  CHECK(r.kernel->pidfd_status(pidfd.get(), st) == -EAGAIN); // Alive.
  int status = 0;
  ::waitpid(pid, &status, WUNTRACED);
  ::kill(pid, SIGCONT);
  siginfo_t si{};
  REQUIRE(::waitid(P_PID, id_t(pid), &si, WEXITED | WNOWAIT) == 0);
  CHECK(r.kernel->pidfd_status(pidfd.get(), st) == -EAGAIN); // A zombie.
  ::waitpid(pid, &status, 0);
  REQUIRE(r.kernel->pidfd_status(pidfd.get(), st) == 0);
  CHECK(st.known);
  CHECK(st.code == 42);
}

TEST_CASE("linux_kernel: raw wait statuses are taken apart") {
  auto code = exit_status::from_wait(3 << 8);
  CHECK(code.known);
  CHECK(code.code == 3);
  CHECK(code.signal == 0);
  auto killed = exit_status::from_wait(SIGSEGV | 0x80);
  CHECK(killed.signal == SIGSEGV);
  CHECK(killed.core);
  CHECK(killed.code == 0);
}
