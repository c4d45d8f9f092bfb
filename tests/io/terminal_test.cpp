#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <pty.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "io/log_state.hpp"
#include "tests/io/pump_rig.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace gantry::io::testing;

namespace {

/// A terminal: the master is ours, the slave is a process's.
struct terminal {
  explicit terminal(kernel& k) {
    int m = -1;
    int s = -1;
    if (::openpty(&m, &s, nullptr, nullptr, nullptr) != 0)
      throw std::runtime_error("no terminal");
    for (const int end : {m, s}) // The one thread that reads the master must not wait in a write.
      ::fcntl(end, F_SETFL, O_RDWR | O_NONBLOCK);
    master = fd(k, m);
    slave = fd(k, s);
  }
  /// Writes all of `text`; turns the loop while the terminal is full. The ring's news cuts a
  /// write short, as a signal does.
  void write(std::string_view text, loop& reader) const {
    while (!text.empty()) {
      const ssize_t n = ::write(slave.get(), text.data(), text.size());
      if (n > 0) {
        text.remove_prefix(size_t(n));
        continue;
      }
      REQUIRE((errno == EAGAIN || errno == EINTR));
      reader.turn(false);
    }
  }
  fd master, slave;
};

/// Says `text` to the listener at `path`, with a descriptor if it is not -1.
int knock(const std::string& path, int with) {
  const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof(at.sun_path) - 1);
  REQUIRE(::connect(s, reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0);
  char text[] = "/dev/ptmx";
  iovec data{text, sizeof(text)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (with >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    auto* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &with, sizeof(int));
  }
  REQUIRE(::sendmsg(s, &message, 0) > 0);
  return s;
}

int count_fds() {
  int n = 0;
  for ([[maybe_unused]] const auto& x : std::filesystem::directory_iterator("/proc/self/fd"))
    ++n;
  return n;
}

} // namespace

TEST_CASE_METHOD(pump_rig, "terminal: every byte comes into the log, EIO is the end", "[uring]") {
  terminal t(*kernel);
  pump p(the_loop, keeper, pool, {});
  p.is_terminal();
  std::string came;
  uint64_t next = 0;
  pump::events on;
  on.came = [&](int stream, uint64_t offset, std::span<const char> bytes) {
    CHECK(stream == 0);
    CHECK(offset == next);
    next += bytes.size();
    came.append(bytes.data(), bytes.size());
  };
  REQUIRE(p.begin(7, dir.path(), {std::move(t.master), fd{}}, on).ok());
  t.write("a", the_loop);
  REQUIRE(until([&] { return came == "a"; }));
  CHECK(p.unlogged(0) == "a"); // A prompt has no newline, and is told all the same.
  t.write("bc\n", the_loop);
  REQUIRE(until([&] { return came == "abc\r\n"; }));
  std::string wanted = "abc\r\n";
  for (int i = 0; i < 2000; ++i) {
    const auto line = "line " + std::to_string(i);
    t.write(line + "\n", the_loop);
    wanted += line + "\r\n";
    if (i % 7 == 0)
      the_loop.turn(false);
  }
  t.write("last words", the_loop);
  wanted += "last words";
  t.slave.reset();
  CHECK_FALSE(drain(p));
  CHECK(came == wanted);
  const auto log = read_log(dir.path());
  CHECK(log.damage.empty());
  CHECK(log.bytes[0] == wanted);
  CHECK(p.totals().closed == std::array<bool, 2>{true, true});
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "terminal: a drain ends while somebody still has it open", "[uring]") {
  terminal t(*kernel);
  pump p(the_loop, keeper, pool, {});
  p.is_terminal();
  REQUIRE(p.begin(7, dir.path(), {std::move(t.master), fd{}}, {}).ok());
  t.write("words\n", the_loop);
  CHECK(drain(p)); // io_open
  CHECK(read_log(dir.path()).bytes[0] == "words\r\n");
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "pump: while it is held the writer waits, a drain is not held",
                 "[uring]") {
  pump p(the_loop, keeper, pool, {});
  REQUIRE(p.begin(7, dir.path(), pipes(), {}).ok());
  write(0, "one\n");
  REQUIRE(until([&] { return p.totals().bytes[0] == 4; }));
  p.hold(true);
  write(0, "two\n");
  for (int i = 0; i < 20; ++i)
    the_loop.turn(false);
  CHECK(p.totals().bytes[0] == 4);
  p.hold(false);
  REQUIRE(until([&] { return p.totals().bytes[0] == 8; }));
  p.hold(true);
  write(0, "three\n");
  writer[0].reset();
  writer[1].reset();
  CHECK_FALSE(drain(p));
  CHECK(p.totals().bytes[0] == 14);
  finish(p);
}

TEST_CASE_METHOD(pump_rig, "terminal: a short read that a crash left open is told", "[uring]") {
  // The slot as a crash leaves it: the intent to read three bytes stands, they did not come.
  log_state state = log_state::take(memory.view(), 7);
  REQUIRE(state);
  log_position p = state.at();
  p.block[0] = pool.take(false);
  p.batch_bytes = 3;
  p.by_nonce = 1;
  std::memset(p.nonce, 0xff, sizeof(p.nonce));
  std::memcpy(memory.view().block(p.block[0]).data(), p.nonce, 3);
  state.become(p);
  terminal t(*kernel);
  pump again(the_loop, keeper, pool, {});
  again.is_terminal();
  REQUIRE(again.resume(7, dir.path(), {std::move(t.master), fd{}}, {}).ok());
  CHECK(again.maybe_lost() == 3);
  t.write("on\n", the_loop);
  REQUIRE(until([&] { return again.totals().bytes[0] == 4; }));
  CHECK(read_log(dir.path()).bytes[0] == "on\r\n");
  finish(again);
}

TEST_CASE_METHOD(pump_rig, "terminal: what it has, its end and its size are known without a read",
                 "[uring]") {
  terminal t(*kernel);
  CHECK(kernel->terminal_readable(t.master.get()) == 0);
  t.write("hello", the_loop);
  CHECK(kernel->terminal_readable(t.master.get()) == 5);
  CHECK(kernel->set_terminal_size(t.master.get(), 132, 43) == 0);
  winsize size{};
  REQUIRE(::ioctl(t.slave.get(), TIOCGWINSZ, &size) == 0);
  CHECK((size.ws_col == 132 && size.ws_row == 43));
  t.slave.reset();
  CHECK(kernel->terminal_readable(t.master.get()) == 5);
  char bytes[8];
  CHECK(kernel->read(t.master.get(), bytes) == 5);
  CHECK(kernel->terminal_readable(t.master.get()) == -EIO);
  const fd twin(*kernel, kernel->dup(t.master.get()));
  CHECK(twin.get() > 2);
  CHECK((::fcntl(twin.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE_METHOD(pump_rig, "terminal: its master is taken from whoever brings one", "[uring]") {
  const auto path = dir.path() + "/console";
  fd listener(*kernel, kernel->listen(path));
  REQUIRE(listener);
  CHECK(kernel->take_descriptor(listener.get()) == -EAGAIN);
  terminal t(*kernel);
  const int before = count_fds();
  const int empty = knock(path, -1); // Nothing in its hands: passed over.
  ::close(empty);
  const int full = knock(path, t.master.get());
  ::close(full); // As runc does, at once.
  const fd taken(*kernel, kernel->take_descriptor(listener.get()));
  REQUIRE(taken);
  CHECK(count_fds() == before + 1);
  CHECK((::fcntl(taken.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(taken.get(), F_GETFD) & FD_CLOEXEC) != 0);
  t.write("x", the_loop);
  CHECK(kernel->terminal_readable(taken.get()) == 1);
  CHECK(kernel->take_descriptor(listener.get()) == -EAGAIN);
  CHECK(kernel->listen(dir.path() + "/" + std::string(120, 'x')) == -ENAMETOOLONG);
  const fd second(*kernel, kernel->listen(path)); // What a crash left there is no obstacle.
  CHECK(second);
}

TEST_CASE_METHOD(pump_rig, "fifo: only a client's own one is opened", "[uring][root]") {
  const fd at(*kernel, kernel->open(dir.path(), O_PATH | O_DIRECTORY, 0));
  const auto path = [&](const char* name) { return dir.path() + "/" + name; };
  const auto try_open = [&](const char* name, uint32_t owner) {
    const int n = kernel->open_fifo(at.get(), name, owner);
    if (n >= 0)
      kernel->close(n);
    return n < 0 ? n : 0;
  };
  CHECK(try_open("made", 1234) == 0);
  struct stat what {};
  REQUIRE(::stat(path("made").c_str(), &what) == 0);
  CHECK((S_ISFIFO(what.st_mode) && what.st_uid == 1234 && (what.st_mode & 0777) == 0600));
  CHECK(try_open("made", 1234) == 0);
  CHECK(try_open("made", 99) == -EPERM);
  REQUIRE(::symlink("made", path("link").c_str()) == 0);
  CHECK(try_open("link", 1234) == -ELOOP);
  std::ofstream(path("file")) << "x";
  CHECK(try_open("file", 0) == -ENOTSUP);
  std::filesystem::create_directory(path("dir"));
  CHECK(try_open("dir", 0) == -ENOTSUP);
  const fd first(*kernel, kernel->open_fifo(at.get(), "made", 1234));
  REQUIRE(first);
  CHECK(try_open("made", 1234) == -EBUSY);
  // Both ends are ours: neither a reader that goes nor a writer that goes is heard of.
  const int writer = ::open(path("made").c_str(), O_WRONLY | O_NONBLOCK);
  REQUIRE(writer >= 0);
  REQUIRE(::write(writer, "hi", 2) == 2);
  ::close(writer);
  char bytes[8];
  CHECK(kernel->read(first.get(), bytes) == 2);
  CHECK(kernel->read(first.get(), bytes) == -EAGAIN);
}
