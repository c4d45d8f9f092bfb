#include "io/ops.hpp"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <optional>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "real_loop.hpp"

using namespace gantry;
using namespace gantry::io;
using namespace std::chrono_literals;

namespace {

struct temp_dir {
  temp_dir() {
    char name[] = "/var/tmp/gantry-ops-XXXXXX"; // A disk, where there is one.
    path = ::mkdtemp(name);
  }
  ~temp_dir() { std::filesystem::remove_all(path); }
  std::string path;
};

/// Runs one op to its callback and gives its result.
template <class Start>
int32_t result_of(real_loop& r, Start start) {
  std::optional<int32_t> res;
  start([&res](int32_t x) { res = x; });
  CHECK_FALSE(res.has_value()); // Never from inside start.
  REQUIRE(r.until([&] { return res.has_value(); }));
  return *res;
}

} // namespace

TEST_CASE("ops: a file is opened, written, synced, read and closed", "[uring]") {
  real_loop r;
  temp_dir dir;
  open_op open(r.l);
  write_op write(r.l);
  sync_op sync(r.l);
  read_op read(r.l);
  int file = result_of(r, [&](auto f) {
    open.start(AT_FDCWD, dir.path + "/x", O_RDWR | O_CREAT, 0600, false, std::move(f));
  });
  REQUIRE(file >= 0);
  fd keep(*r.kernel, file);
  CHECK((::fcntl(file, F_GETFD) & FD_CLOEXEC) != 0);
  std::string text(300'000, 'a');
  text.back() = 'z';
  CHECK(result_of(r, [&](auto f) { write.start(file, text, 10, std::move(f)); }) == 300'000);
  CHECK(result_of(r, [&](auto f) { sync.start(file, std::move(f)); }) == 0);
  std::string back(400'000, '?');
  CHECK(result_of(r, [&](auto f) { read.start(file, back, 10, std::move(f)); }) == 300'000);
  CHECK(back.substr(0, 300'000) == text);
  CHECK(result_of(r, [&](auto f) { read.start(file, back, 1 << 20, std::move(f)); }) == 0);
}

TEST_CASE("ops: open tells what the path says", "[uring]") {
  real_loop r;
  temp_dir dir;
  open_op open(r.l);
  auto opened = [&](const std::string& path, int flags, bool beneath, int at = AT_FDCWD) {
    return result_of(r, [&](auto f) { open.start(at, path, flags, 0, beneath, std::move(f)); });
  };
  CHECK(opened(dir.path + "/none", O_RDONLY, false) == -ENOENT);
  CHECK(opened("/etc/passwd/x", O_RDONLY, false) == -ENOTDIR);
  fd root(*r.kernel, opened(dir.path, O_PATH | O_DIRECTORY, false));
  REQUIRE(root);
  std::ofstream(dir.path + "/in") << "x";
  ::symlink("/etc/passwd", (dir.path + "/out").c_str());
  CHECK(opened("../../etc/passwd", O_RDONLY, true, root.get()) == -EXDEV);
  CHECK(opened("/etc/passwd", O_RDONLY, true, root.get()) == -EXDEV);
  CHECK(opened("out", O_RDONLY, true, root.get()) == -EXDEV);
  fd inside(*r.kernel, opened("in", O_RDONLY, true, root.get()));
  CHECK(inside);
}

TEST_CASE("ops: a full disk is an error of the write that meets it", "[uring]") {
  real_loop r;
  fd full(*r.kernel, r.kernel->open("/dev/full", O_WRONLY, 0));
  write_op write(r.l);
  std::string_view text = "x";
  CHECK(result_of(r, [&](auto f) { write.start(full.get(), text, 0, std::move(f)); }) == -ENOSPC);
}

TEST_CASE("ops: path deeds answer what the file system says", "[uring]") {
  real_loop r;
  temp_dir dir;
  path_op deed(r.l);
  auto sub = dir.path + "/sub", moved = dir.path + "/moved";
  CHECK(result_of(r, [&](auto f) { deed.mkdir(sub, 0750, std::move(f)); }) == 0);
  CHECK(result_of(r, [&](auto f) { deed.mkdir(sub, 0750, std::move(f)); }) == -EEXIST);
  CHECK(result_of(r, [&](auto f) { deed.rename(sub, moved, std::move(f)); }) == 0);
  CHECK(result_of(r, [&](auto f) { deed.unlink(moved, std::move(f)); }) == -EISDIR);
  CHECK(result_of(r, [&](auto f) { deed.rmdir(moved, std::move(f)); }) == 0);
  CHECK(result_of(r, [&](auto f) { deed.rmdir(moved, std::move(f)); }) == -ENOENT);
  std::ofstream(dir.path + "/f") << "keep";
  fd file(*r.kernel, r.kernel->open(dir.path + "/f", O_RDWR, 0));
  CHECK(result_of(r, [&](auto f) { deed.allocate(file.get(), 1 << 20, std::move(f)); }) == 0);
  struct stat st {};
  ::fstat(file.get(), &st);
  CHECK(st.st_size == 4);
  CHECK(st.st_blocks * 512 >= 1 << 20);
  CHECK(result_of(r, [&](auto f) { deed.unlink(dir.path + "/f", std::move(f)); }) == 0);
}

TEST_CASE("ops: a callback may start its op again or destroy it", "[uring]") {
  real_loop r;
  pipe_pair p(*r.kernel);
  r.kernel->write(p.writer.get(), std::string_view("x"));
  auto op = std::make_unique<poll_op>(r.l);
  int calls = 0;
  std::function<void(int32_t)> again = [&](int32_t) {
    if (++calls < 3)
      op->start(p.reader.get(), POLLIN, again);
    else
      op.reset();
  };
  op->start(p.reader.get(), POLLIN, again);
  REQUIRE(r.until([&] { return !op; }));
  CHECK(calls == 3);
}

TEST_CASE("ops: a whole file is written in its place and read back", "[uring]") {
  real_loop r;
  temp_dir dir;
  auto path = dir.path + "/config";
  for (bool durable : {false, true})
    for (size_t size : {size_t(0), size_t(5), size_t(16 * 1024), size_t(100'000)}) {
      std::string text(size, durable ? 'd' : 'n');
      std::optional<result<void>> wrote;
      write_file(r.l, path, text, 0640, durable, [&](result<void> x) { wrote = std::move(x); });
      REQUIRE(r.until([&] { return wrote.has_value(); }));
      REQUIRE(wrote->ok());
      std::optional<result<std::string>> got;
      read_file(r.l, path, 100'000, "the file", [&](result<std::string> x) { got = std::move(x); });
      REQUIRE(r.until([&] { return got.has_value(); }));
      REQUIRE(got->ok());
      CHECK(**got == text);
    }
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
  struct stat st {};
  ::stat(path.c_str(), &st);
  CHECK((st.st_mode & 0777) == 0640);
}

TEST_CASE("ops: read_file names the thing, the limit and the way out of its root", "[uring]") {
  real_loop r;
  temp_dir dir;
  std::ofstream(dir.path + "/big") << std::string(101, 'x');
  auto why = [&](const std::string& path, bool beneath) {
    std::optional<result<std::string>> got;
    auto f = [&got](result<std::string> x) { got = std::move(x); };
    if (beneath)
      read_file_beneath(r.l, dir.path, path, 100, "the spec of \"web\"", f);
    else
      read_file(r.l, path, 100, "the spec of \"web\"", f);
    REQUIRE(r.until([&] { return got.has_value(); }));
    REQUIRE_FALSE(got->ok());
    CHECK(got->why().message.find("the spec of \"web\"") != std::string::npos);
    return got->why().code;
  };
  CHECK(why(dir.path + "/big", false) == ec::resource_exhausted);
  CHECK(why(dir.path + "/none", false) == ec::not_found);
  CHECK(why("../../../etc/passwd", true) == ec::invalid_argument);
  CHECK(why("none", true) == ec::not_found);
}

TEST_CASE("ops: a failed write_file leaves the old content and no litter", "[uring]") {
  real_loop r;
  temp_dir dir;
  auto path = dir.path + "/taken";
  std::filesystem::create_directories(path + "/full"); // A directory cannot be replaced.
  std::optional<result<void>> wrote;
  write_file(r.l, path, "x", 0600, true, [&](result<void> x) { wrote = std::move(x); });
  REQUIRE(r.until([&] { return wrote.has_value(); }));
  CHECK_FALSE(wrote->ok());
  CHECK(std::filesystem::is_directory(path));
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
}

namespace {

struct listener {
  explicit listener(const std::string& path) {
    number = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof(address.sun_path), "%s", path.c_str());
    REQUIRE(::bind(number, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(number, 16) == 0);
  }
  ~listener() { ::close(number); }
  int connect() const {
    int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(s, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    return s;
  }
  int number;
  sockaddr_un address{};
};

} // namespace

TEST_CASE("ops: accept hands over one connection after the other until cancelled", "[uring]") {
  real_loop r;
  temp_dir dir;
  listener socket(dir.path + "/s");
  accept_op accept(r.l);
  std::vector<int> got;
  int end = 0;
  accept.start(socket.number,
               [&](int32_t res) { res >= 0 ? got.push_back(res) : void(end = res); });
  std::vector<int> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(socket.connect());
    REQUIRE(r.until([&] { return got.size() == clients.size(); }));
  }
  for (int s : got) {
    CHECK((::fcntl(s, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(s, F_GETFD) & FD_CLOEXEC) != 0);
    ::close(s);
  }
  for (int s : clients)
    ::close(s);
  CHECK(end == 0);
  accept.cancel();
  REQUIRE(r.until([&] { return end != 0; }));
  CHECK(end == -ECANCELED);
  CHECK_FALSE(accept.in_flight());
}

TEST_CASE("ops: accept reports that descriptors ran out and goes on later", "[uring]") {
  real_loop r;
  temp_dir dir;
  listener socket(dir.path + "/s");
  accept_op accept(r.l);
  int got = -1, refused = 0, end = 0;
  int client = socket.connect();
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit none{rlim_t(lowest_free), before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  accept.start(socket.number, [&](int32_t res) {
    if (res >= 0)
      got = res;
    else if (res == -ECANCELED)
      end = res;
    else
      refused = res;
  });
  CHECK(r.until([&] { return refused != 0; }));
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK(refused == -EMFILE);
  CHECK(r.until([&] { return got >= 0; })); // After its pause, by itself.
  accept.cancel();
  REQUIRE(r.until([&] { return end != 0; }));
  ::close(got);
  ::close(client);
}

TEST_CASE("ops: recv and send move bytes, and tell the end and a broken peer", "[uring]") {
  real_loop r;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  recv_op recv(r.l);
  send_op send(r.l);
  char into[16];
  std::optional<int32_t> received;
  recv.start(ends[0], into, [&](int32_t res) { received = res; });
  r.l.turn(false);
  CHECK_FALSE(received.has_value()); // Waits although the socket is O_NONBLOCK.
  CHECK(result_of(r, [&](auto f) { send.start(ends[1], std::string_view("hello"), f); }) == 5);
  REQUIRE(r.until([&] { return received.has_value(); }));
  CHECK(std::string(into, size_t(*received)) == "hello");
  ::close(ends[1]);
  CHECK(result_of(r, [&](auto f) { recv.start(ends[0], into, f); }) == 0);
  CHECK(result_of(r, [&](auto f) { send.start(ends[0], std::string_view("x"), f); }) == -EPIPE);
  ::close(ends[0]);
}

TEST_CASE("ops: a recv that waits can be cancelled", "[uring]") {
  real_loop r;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  recv_op recv(r.l);
  char into[16];
  int32_t res = 0;
  recv.start(ends[0], into, [&](int32_t x) { res = x; });
  r.l.turn(false);
  recv.cancel();
  REQUIRE(r.until([&] { return res != 0; }));
  CHECK(res == -ECANCELED);
  ::close(ends[0]);
  ::close(ends[1]);
}
