// What the simulated kernel says must be what the real one says: each check runs on both.

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>

#include "tests/sim/conformance_host.hpp"

using namespace gantry;
using sim::lab;
using sim::linux_host;
using sim::sim_host;

#define ON_BOTH(name) TEMPLATE_TEST_CASE("both kernels: " name, "[uring]", linux_host, sim_host)

namespace {

std::span<const char> view(std::string_view text) { return {text.data(), text.size()}; }

} // namespace

ON_BOTH("a pipe gives what was written, then says that it is empty, then that it has ended") {
  lab<TestType> x;
  int fds[2];
  REQUIRE(x.k.pipe(fds, 2) == 0);
  char into[64];
  CHECK(x.k.read(fds[0], into) == -EAGAIN);
  CHECK(x.poll_now(fds[0], POLLIN) == 0);
  CHECK(x.k.write(fds[1], view("hello")) == 5);
  CHECK(x.k.readable(fds[0]) == 5);
  CHECK(x.poll(fds[0], POLLIN) == POLLIN);
  CHECK(x.k.read(fds[0], std::span(into).first(2)) == 2);
  CHECK(x.k.readable(fds[0]) == 3);
  x.k.close(fds[1]);
  CHECK(x.poll(fds[0], POLLIN) == (POLLIN | POLLHUP));
  CHECK(x.k.read(fds[0], into) == 3);
  CHECK(std::string_view(into, 3) == "llo");
  CHECK(x.poll(fds[0], POLLIN) == POLLHUP);
  CHECK(x.k.read(fds[0], into) == 0);
  CHECK(x.k.readable(fds[0]) == 0);
  x.k.close(fds[0]);
}

ON_BOTH("a full pipe takes a part, then nothing; small writes go whole or not at all") {
  lab<TestType> x;
  int fds[2];
  REQUIRE(x.k.pipe(fds, 2) == 0);
  const std::string much(100'000, 'x');
  CHECK(x.k.write(fds[1], view(much)) == 65536);
  CHECK(x.k.write(fds[1], view("y")) == -EAGAIN);
  CHECK(x.poll_now(fds[1], POLLOUT) == 0);
  char into[4096];
  CHECK(x.k.read(fds[0], std::span(into).first(1)) == 1);
  CHECK(x.poll_now(fds[1], POLLOUT) == 0); // A slot is a page: one byte frees none.
  CHECK(x.k.write(fds[1], view("y")) == -EAGAIN);
  CHECK(x.k.read(fds[0], std::span(into).first(4095)) == 4095);
  CHECK(x.poll_now(fds[1], POLLOUT) == POLLOUT);
  CHECK(x.k.write(fds[1], view("y")) == 1);
  CHECK(x.k.write(fds[1], view(std::string(4096, 'z'))) == -EAGAIN);
  CHECK(x.k.write(fds[1], view(std::string(4095, 'z'))) == 4095); // It merges into the last page.
  x.k.close(fds[0]);
  x.k.close(fds[1]);
}

ON_BOTH("a pipe without readers refuses the writer") {
  lab<TestType> x;
  ::signal(SIGPIPE, SIG_IGN);
  int fds[2];
  REQUIRE(x.k.pipe(fds, 2) == 0);
  x.k.close(fds[0]);
  CHECK(x.k.write(fds[1], view("x")) == -EPIPE);
  CHECK(x.poll(fds[1], POLLOUT) == (POLLOUT | POLLERR));
  x.k.close(fds[1]);
}

ON_BOTH("the size of a pipe is a power of two pages") {
  lab<TestType> x;
  int fds[2];
  REQUIRE(x.k.pipe(fds, 2) == 0);
  CHECK(x.k.set_pipe_size(fds[0], 5000) == 8192);
  CHECK(x.k.write(fds[1], view(std::string(10'000, 'x'))) == 8192);
  CHECK(x.k.set_pipe_size(fds[0], 4096) == -EBUSY);
  CHECK(x.k.set_pipe_size(fds[0], 1 << 20) == 1 << 20);
  CHECK(x.k.write(fds[1], view(std::string(10'000, 'x'))) == 10'000);
  x.k.close(fds[0]);
  x.k.close(fds[1]);
}

ON_BOTH("tee copies and leaves everything where it is") {
  lab<TestType> x;
  int a[2], b[2];
  REQUIRE(x.k.pipe(a, 2) == 0);
  REQUIRE(x.k.pipe(b, 2) == 0);
  CHECK(x.k.tee(a[0], b[1], 100) == -EAGAIN);
  CHECK(x.k.write(a[1], view("abcdef")) == 6);
  CHECK(x.k.tee(a[0], b[1], 4) == 4);
  CHECK(x.k.tee(a[0], b[1], 100) == 6);
  CHECK(x.k.readable(a[0]) == 6);
  char into[64];
  CHECK(x.k.read(b[0], into) == 10);
  CHECK(std::string_view(into, 10) == "abcdabcdef");
  CHECK(x.k.read(a[0], into) == 6);
  x.k.close(a[1]);
  CHECK(x.k.tee(a[0], b[1], 100) == 0);
  for (int fd : {a[0], b[0], b[1]})
    x.k.close(fd);
}

ON_BOTH("splice moves bytes from pipe to pipe, as many as there is room for") {
  lab<TestType> x;
  int a[2], b[2];
  REQUIRE(x.k.pipe(a, 2) == 0);
  REQUIRE(x.k.pipe(b, 2) == 0);
  CHECK(x.k.splice(a[0], b[1], 100) == -EAGAIN);
  CHECK(x.k.write(a[1], view("abcdef")) == 6);
  CHECK(x.k.splice(a[0], b[1], 4) == 4);
  CHECK(x.k.readable(a[0]) == 2);
  CHECK(x.k.readable(b[0]) == 4);
  CHECK(x.k.splice(a[0], b[1], 100) == 2);
  char into[64];
  CHECK(x.k.read(b[0], into) == 6);
  CHECK(std::string_view(into, 6) == "abcdef");
  REQUIRE(x.k.set_pipe_size(b[0], 4096) == 4096);
  CHECK(x.k.write(a[1], view(std::string(5000, 'y'))) == 5000);
  CHECK(x.k.splice(a[0], b[1], 5000) == 4096);
  CHECK(x.k.splice(a[0], b[1], 5000) == -EAGAIN); // No room.
  CHECK(x.k.readable(a[0]) == 904);
  x.k.close(a[1]);
  CHECK(x.k.read(b[0], std::span(into)) == 64);
  for (int fd : {a[0], b[0], b[1]})
    x.k.close(fd);
}

ON_BOTH("an eventfd counts until it is read") {
  lab<TestType> x;
  const int fd = x.k.eventfd();
  REQUIRE(fd >= 0);
  uint64_t n = 0;
  auto into = std::span(reinterpret_cast<char*>(&n), sizeof(n));
  CHECK(x.k.read(fd, into) == -EAGAIN);
  CHECK(x.poll_now(fd, POLLIN) == 0);
  for (uint64_t add : {2u, 3u}) {
    n = add;
    CHECK(x.k.write(fd, into) == 8);
  }
  CHECK(x.poll(fd, POLLIN) == POLLIN);
  CHECK(x.k.read(fd, into) == 8);
  CHECK(n == 5);
  CHECK(x.k.read(fd, into) == -EAGAIN);
  x.k.close(fd);
}

ON_BOTH("a waiting request ends early when it is cancelled") {
  lab<TestType> x;
  int fds[2];
  REQUIRE(x.k.pipe(fds, 2) == 0);
  io::poll_op p(x.loop);
  io::read_op r(x.loop);
  char into[8];
  int done = 0;
  auto check = [&](int32_t res) {
    CHECK(res == -ECANCELED);
    ++done;
  };
  p.start(fds[0], POLLIN, check);
  r.start(fds[0], into, uint64_t(-1), check);
  x.loop.turn(false);
  CHECK(done == 0);
  p.cancel();
  r.cancel();
  CHECK(done == 0); // Never from inside the call.
  x.until([&] { return done == 2; });
  p.cancel(); // At rest: harmless.
  x.k.close(fds[0]);
  x.k.close(fds[1]);
}

ON_BOTH("a request on a closed descriptor keeps the pipe open until it is cancelled") {
  lab<TestType> x;
  ::signal(SIGPIPE, SIG_IGN);
  int fds[2];
  REQUIRE(x.k.pipe(fds, 2) == 0);
  io::poll_op p(x.loop);
  bool done = false;
  p.start(fds[0], POLLIN, [&](int32_t) { done = true; });
  x.loop.turn(false);
  x.k.close(fds[0]);
  x.loop.turn(false);
  CHECK(!done);
  CHECK(x.k.write(fds[1], view("x")) == 1); // No EPIPE: the request is a reader.
  x.until([&] { return done; });
  x.until([&] { return x.k.write(fds[1], view("x")) == -EPIPE; });
  x.k.close(fds[1]);
}

ON_BOTH("a read waits for bytes and gives those that are there") {
  lab<TestType> x;
  int fds[2];
  REQUIRE(x.k.pipe(fds, 2) == 0);
  io::poll_op p(x.loop);
  bool done = false;
  p.start(fds[0], POLLIN, [&](int32_t res) {
    CHECK(res == POLLIN);
    done = true;
  });
  x.loop.turn(false);
  CHECK(!done);
  CHECK(x.k.write(fds[1], view("abc")) == 3);
  x.until([&] { return done; });
  char into[8];
  CHECK(x.k.read(fds[0], into) == 3);
  x.k.close(fds[0]);
  x.k.close(fds[1]);
}
