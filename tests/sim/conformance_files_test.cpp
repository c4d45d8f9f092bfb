// Files and paths on both kernels.

#include <fcntl.h>

#include "tests/sim/conformance_host.hpp"

using namespace gantry;
using sim::lab;
using sim::linux_host;
using sim::sim_host;

#define ON_BOTH(name) TEMPLATE_TEST_CASE("both kernels: " name, "[uring]", linux_host, sim_host)

ON_BOTH("a file has what was written where it was written") {
  lab<TestType> x;
  const int fd = x.open(x.dir + "/a", O_RDWR | O_CREAT | O_EXCL);
  REQUIRE(fd >= 0);
  CHECK(x.open(x.dir + "/a", O_RDWR | O_CREAT | O_EXCL) == -EEXIST);
  CHECK(x.write(fd, "abc", 4) == 3);
  CHECK(x.read(fd, 100, 0) == std::pair(7, std::string("\0\0\0\0abc", 7)));
  CHECK(x.read(fd, 2, 4) == std::pair(2, std::string("ab")));
  CHECK(x.read(fd, 10, 7) == std::pair(0, std::string()));
  CHECK(x.read(fd, 10, 70) == std::pair(0, std::string()));
  CHECK(x.write(fd, "X", 5) == 1);
  CHECK(x.read(fd, 3, 4).second == "aXc");
  char into[8];
  CHECK(x.k.pread(fd, into, 4) == 3);
  io::sync_op sync(x.loop);
  CHECK(x.answer([&](auto f) { sync.start(fd, f); }) == 0);
  x.k.close(fd);
  const int again = x.open(x.dir + "/a", O_WRONLY | O_TRUNC);
  CHECK(x.k.read_small(x.dir + "/a", x.dir) == 0);
  CHECK(x.dir.empty());
  x.k.close(again);
}

ON_BOTH("an unlinked file lives on in its descriptor") {
  lab<TestType> x;
  const int fd = x.open(x.dir + "/a", O_RDWR | O_CREAT);
  REQUIRE(fd >= 0);
  CHECK(x.k.unlink(x.dir + "/a") == 0);
  CHECK(x.k.exists(x.dir + "/a") == 0);
  CHECK(x.write(fd, "abc", 0) == 3);
  CHECK(x.read(fd, 10, 0).second == "abc");
  x.k.close(fd);
}

ON_BOTH("paths are refused for the same reasons") {
  lab<TestType> x;
  REQUIRE(x.k.create_small(x.dir + "/file", "1", 0600) == 0);
  REQUIRE(x.k.mkdir(x.dir + "/dir", 0700) == 0);
  REQUIRE(x.k.create_small(x.dir + "/dir/inner", "2", 0600) == 0);
  CHECK(x.open(x.dir + "/none", O_RDONLY) == -ENOENT);
  CHECK(x.open(x.dir + "/none/x", O_WRONLY | O_CREAT) == -ENOENT);
  CHECK(x.open(x.dir + "/file/x", O_RDONLY) == -ENOTDIR);
  CHECK(x.open(x.dir + "/file", O_RDONLY | O_DIRECTORY) == -ENOTDIR);
  CHECK(x.open(x.dir + "/dir", O_WRONLY) == -EISDIR);
  CHECK(x.k.mkdir(x.dir + "/dir", 0700) == -EEXIST);
  CHECK(x.k.mkdir(x.dir + "/file", 0700) == -EEXIST);
  CHECK(x.k.mkdir(x.dir + "/none/x", 0700) == -ENOENT);
  CHECK(x.k.rmdir(x.dir + "/dir") == -ENOTEMPTY);
  CHECK(x.k.rmdir(x.dir + "/file") == -ENOTDIR);
  CHECK(x.k.rmdir(x.dir + "/none") == -ENOENT);
  CHECK(x.k.unlink(x.dir + "/dir") == -EISDIR);
  CHECK(x.k.unlink(x.dir + "/none") == -ENOENT);
  CHECK(x.k.rename(x.dir + "/none", x.dir + "/x") == -ENOENT);
  CHECK(x.k.rename(x.dir + "/file", x.dir + "/dir") == -EISDIR);
  CHECK(x.k.rename(x.dir + "/dir", x.dir + "/file") == -ENOTDIR);
  std::string text;
  CHECK(x.k.read_small(x.dir + "/none", text) == -ENOENT);
  CHECK(x.k.read_small(x.dir + "/dir", text) == -EISDIR);
  CHECK(x.k.write_small(x.dir + "/none", "x") == -ENOENT);
  std::vector<std::string> names;
  CHECK(x.k.list(x.dir + "/none", names) == -ENOENT);
  CHECK(x.k.list(x.dir + "/file", names) == -ENOTDIR);
  CHECK(x.k.list(x.dir, names) == 0);
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"dir", "file"});
}

ON_BOTH("the same deeds go through requests") {
  lab<TestType> x;
  io::path_op p(x.loop);
  auto run = [&](auto deed) { return x.answer([&](auto f) { deed(f); }); };
  CHECK(run([&](auto f) { p.mkdir(x.dir + "/d", 0700, f); }) == 0);
  CHECK(run([&](auto f) { p.mkdir(x.dir + "/d", 0700, f); }) == -EEXIST);
  REQUIRE(x.k.create_small(x.dir + "/d/a", "1", 0600) == 0);
  REQUIRE(x.k.create_small(x.dir + "/d/b", "2", 0600) == 0);
  CHECK(run([&](auto f) { p.rmdir(x.dir + "/d", f); }) == -ENOTEMPTY);
  CHECK(run([&](auto f) { p.rename(x.dir + "/d/a", x.dir + "/d/b", f); }) == 0);
  std::string text;
  CHECK(x.k.read_small(x.dir + "/d/b", text) == 0);
  CHECK(text == "1");
  CHECK(run([&](auto f) { p.unlink(x.dir + "/d/a", f); }) == -ENOENT);
  CHECK(run([&](auto f) { p.unlink(x.dir + "/d", f); }) == -EISDIR);
  CHECK(run([&](auto f) { p.unlink(x.dir + "/d/b", f); }) == 0);
  CHECK(run([&](auto f) { p.rmdir(x.dir + "/d", f); }) == 0);
  CHECK(run([&](auto f) { p.rmdir(x.dir + "/d", f); }) == -ENOENT);
}

ON_BOTH("beneath a directory nothing leads out of it") {
  lab<TestType> x;
  REQUIRE(x.k.mkdir(x.dir + "/d", 0700) == 0);
  REQUIRE(x.k.create_small(x.dir + "/d/in", "1", 0600) == 0);
  REQUIRE(x.k.create_small(x.dir + "/out", "2", 0600) == 0);
  const int dir = x.k.open(x.dir + "/d", O_RDONLY | O_DIRECTORY);
  REQUIRE(dir >= 0);
  io::open_op o(x.loop);
  auto open = [&](const std::string& path) {
    return x.answer([&](auto f) { o.start(dir, path, O_RDONLY, 0, true, f); });
  };
  CHECK(open("../out") == -EXDEV);
  CHECK(open(x.dir + "/out") == -EXDEV);
  CHECK(open("none") == -ENOENT);
  const int fd = open("in");
  CHECK(fd >= 0);
  x.k.close(fd);
  const int still = open("./../d/in"); // Comes back, but was outside.
  CHECK(still == -EXDEV);
  x.k.close(dir);
}

ON_BOTH("small files have a limit, and space can be set aside") {
  lab<TestType> x;
  REQUIRE(x.k.create_small(x.dir + "/f", std::string(5000, 'x'), 0600) == 0);
  std::string text;
  CHECK(x.k.read_small(x.dir + "/f", text, 4999) == -EFBIG);
  CHECK(x.k.read_small(x.dir + "/f", text, 5000) == 0);
  CHECK(x.k.write_small(x.dir + "/f", "ab") == 0);
  CHECK(x.k.read_small(x.dir + "/f", text) == 0);
  CHECK(text.size() == 5000);
  CHECK(text.substr(0, 3) == "abx");
  const int fd = x.open(x.dir + "/spare", O_RDWR | O_CREAT);
  REQUIRE(fd >= 0);
  io::path_op p(x.loop);
  CHECK(x.answer([&](auto f) { p.allocate(fd, 8192, f); }) == 0);
  x.k.close(fd);
  CHECK(x.k.exists(x.dir + "/spare") == 1);
}
