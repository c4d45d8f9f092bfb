#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/ops.hpp"
#include "real_loop.hpp"

using namespace gantry;
using namespace gantry::io;

namespace {

sockaddr_storage ip_loopback(uint16_t port) {
  sockaddr_storage out{};
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::memcpy(&out, &four, sizeof(four));
  return out;
}

int32_t connected(real_loop& r, int socket, const sockaddr_storage& to, socklen_t size,
                  bool apart) {
  connect_op op(r.l);
  std::optional<int32_t> res;
  op.start(socket, to, size, apart, [&res](int32_t x) { res = x; });
  REQUIRE(r.until([&] { return res.has_value(); }));
  return *res;
}

/// A process in a network namespace of its own, until the end of this object.
struct process_elsewhere {
  process_elsewhere() {
    int ready[2];
    REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
    pid = ::fork();
    if (pid == 0) {
      const char fine = ::unshare(CLONE_NEWNET) == 0 ? 1 : 0;
      [[maybe_unused]] auto n = ::write(ready[1], &fine, 1);
      for (;;)
        ::pause();
    }
    char fine = 0;
    REQUIRE(::read(ready[0], &fine, 1) == 1);
    REQUIRE(fine == 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~process_elsewhere() { end(); }
  void end() {
    if (pid > 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
      pid = -1;
    }
  }
  pid_t pid = -1;
};

ino_t inode_of(int file) {
  struct stat s {};
  REQUIRE(::fstat(file, &s) == 0);
  return s.st_ino;
}

ino_t network_of(const std::string& process) {
  struct stat s {};
  REQUIRE(::stat(("/proc/" + process + "/ns/net").c_str(), &s) == 0);
  return s.st_ino;
}

} // namespace

TEST_CASE("sockets: a connection over loopback, and one that is refused", "[uring]") {
  real_loop r;
  fd listener(*r.kernel, ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto at = ip_loopback(0);
  socklen_t size = sizeof(sockaddr_in);
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  const fd before(*r.kernel, r.kernel->socket(AF_INET));
  CHECK(connected(r, before.get(), at, size, false) == -ECONNREFUSED);
  REQUIRE(::listen(listener.get(), 1) == 0);
  const fd after(*r.kernel, r.kernel->socket(AF_INET));
  CHECK((::fcntl(after.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(connected(r, after.get(), at, size, false) == 0);
}

TEST_CASE("sockets: a unix socket by a path, and a full queue that is waited for", "[uring]") {
  real_loop r;
  char dir[] = "/var/tmp/gantry-sockets-XXXXXX";
  REQUIRE(::mkdtemp(dir) != nullptr);
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const auto path = std::string{dir} + "/s";
  std::memcpy(un.sun_path, path.c_str(), path.size());
  sockaddr_storage to{};
  std::memcpy(&to, &un, sizeof(un));
  const fd lost(*r.kernel, r.kernel->socket(AF_UNIX));
  CHECK(connected(r, lost.get(), to, sizeof(un), true) == -ENOENT);
  const fd listener(*r.kernel, ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&to), sizeof(un)) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  const fd first(*r.kernel, r.kernel->socket(AF_UNIX));
  CHECK(connected(r, first.get(), to, sizeof(un), true) == 0);
  const fd second(*r.kernel, r.kernel->socket(AF_UNIX));
  connect_op op(r.l);
  std::optional<int32_t> res;
  op.start(second.get(), to, sizeof(un), true, [&res](int32_t x) { res = x; });
  bool late = false;
  timer wait(r.l);
  wait.start(std::chrono::milliseconds(100), [&late] { late = true; });
  REQUIRE(r.until([&] { return late; }));
  CHECK_FALSE(res.has_value());
  op.cancel();
  REQUIRE(r.until([&] { return res.has_value(); }));
  CHECK(*res == -ECANCELED);
  std::filesystem::remove_all(dir);
}

TEST_CASE("sockets: one near a process is in its network, and we are not", "[uring][root]") {
  real_loop r;
  process_elsewhere other;
  const auto ours = network_of("thread-self");
  const auto theirs = network_of(std::to_string(other.pid));
  REQUIRE(ours != theirs);
  const fd pidfd(*r.kernel, r.kernel->pidfd_open(other.pid));
  const fd near(*r.kernel, r.kernel->socket_near(pidfd.get(), AF_INET, errand::talk));
  REQUIRE(near);
  CHECK(network_of("thread-self") == ours);
  const fd where(*r.kernel, ::ioctl(near.get(), SIOCGSKNS));
  CHECK(inode_of(where.get()) == theirs);
  const fd here(*r.kernel, r.kernel->socket(AF_INET));
  const fd home(*r.kernel, ::ioctl(here.get(), SIOCGSKNS));
  CHECK(inode_of(home.get()) == ours);
  // Loopback is down over there: it is that loopback which counts.
  CHECK(connected(r, near.get(), ip_loopback(9), sizeof(sockaddr_in), false) == -ENETUNREACH);
  other.end();
  CHECK(r.kernel->socket_near(pidfd.get(), AF_INET, errand::talk) == -ESRCH);
  CHECK(network_of("thread-self") == ours);
}

TEST_CASE("sockets: a server is not woken by a knock, and answers a talk", "[uring][root]") {
  real_loop r;
  const fd listener(*r.kernel, ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  auto at = ip_loopback(0);
  socklen_t size = sizeof(sockaddr_in);
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  REQUIRE(::listen(listener.get(), 8) == 0);
  const fd here(*r.kernel, r.kernel->pidfd_open(::getpid()));
  const auto taken = [&] { return ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); };
  {
    const fd knocks(*r.kernel, r.kernel->socket_near(here.get(), AF_INET, errand::knock));
    CHECK(connected(r, knocks.get(), at, size, false) == 0);
  }
  CHECK(taken() == -1);
  CHECK(errno == EAGAIN);
  const fd talks(*r.kernel, r.kernel->socket_near(here.get(), AF_INET, errand::talk));
  CHECK(connected(r, talks.get(), at, size, false) == 0);
  REQUIRE(::send(talks.get(), "hello", 5, MSG_NOSIGNAL) == 5);
  const fd server(*r.kernel, taken());
  REQUIRE(server);
  std::array<char, 8> said{};
  CHECK(::recv(server.get(), said.data(), said.size(), 0) == 5);
}

TEST_CASE("sockets: a path in a root stays in it", "[uring]") {
  real_loop r;
  char dir[] = "/var/tmp/gantry-sockets-XXXXXX";
  REQUIRE(::mkdtemp(dir) != nullptr);
  const std::string root = std::string{dir} + "/root";
  std::filesystem::create_directories(root + "/etc");
  std::filesystem::create_symlink("/etc", root + "/link");
  const fd at(*r.kernel, ::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const auto opened = [&](const std::string& path) {
    open_op op(r.l);
    std::optional<int32_t> res;
    op.start_in_root(at.get(), path, O_PATH, [&res](int32_t x) { res = x; });
    REQUIRE(r.until([&] { return res.has_value(); }));
    return *res;
  };
  const fd etc(*r.kernel, opened("/link/../../../etc"));
  REQUIRE(etc);
  struct stat wanted {};
  REQUIRE(::stat((root + "/etc").c_str(), &wanted) == 0);
  CHECK(inode_of(etc.get()) == wanted.st_ino);
  CHECK(opened("/../etc/passwd") == -ENOENT);
  std::filesystem::remove_all(dir);
}

TEST_CASE("sockets: a datagram tells who sent it, and its descriptors stay outside", "[uring]") {
  real_loop r;
  char name[] = "/tmp/gantry-inbox-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string dir = std::string(name) + "/in";
  const auto mask = ::umask(077);
  const int in = r.kernel->datagram_inbox(dir, "sock");
  const int again = r.kernel->datagram_inbox(dir, "sock"); // In its place.
  ::umask(mask);
  REQUIRE(in >= 0);
  REQUIRE(again >= 0);
  CHECK((::fcntl(again, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(again, F_GETFD) & FD_CLOEXEC) != 0);
  struct stat st{};
  REQUIRE(::stat((dir + "/sock").c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0666);
  REQUIRE(::stat(dir.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0755);
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, (dir + "/sock").c_str(), dir.size() + 6);
  const int out = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(out, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  char text[] = "READY=1";
  iovec data{text, 7};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  auto* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(head), &ends[1], sizeof(int));
  REQUIRE(::sendmsg(out, &message, 0) == 7);
  ::close(ends[1]);
  REQUIRE(::send(out, std::string(100, 'x').data(), 100, 0) == 100);
  REQUIRE(::send(out, "", 0, 0) == 0);
  std::array<char, 50> into{};
  datagram_note note;
  CHECK(r.kernel->take_datagram(in, into, note) == -EAGAIN);
  CHECK(r.kernel->take_datagram(again, into, note) == 7);
  CHECK(std::string(into.data(), 7) == "READY=1");
  CHECK((note.pid == ::getpid() && !note.cut));
  char byte[1];
  CHECK(r.kernel->take_datagram(again, into, note) == 7); // It is there yet …
  CHECK(r.kernel->read(again, byte) == 1);                // … until it is taken.
  CHECK(::read(ends[0], byte, 1) == 0); // Its last writer was in the message.
  CHECK(r.kernel->take_datagram(again, into, note) == 50);
  CHECK((note.pid == ::getpid() && note.cut));
  CHECK(r.kernel->read(again, byte) == 1);
  CHECK(r.kernel->take_datagram(again, into, note) == 0);
  CHECK(r.kernel->read(again, byte) == 0);
  CHECK(r.kernel->take_datagram(again, into, note) == -EAGAIN);
  CHECK(r.kernel->datagram_inbox("/tmp/" + std::string(120, 'x'), "sock") == -ENAMETOOLONG);
  CHECK(r.kernel->datagram_inbox("/nowhere/at/all", "sock") == -ENOENT);
  for (const int fd : {in, again, out, ends[0]})
    ::close(fd);
  std::filesystem::remove_all(name);
}
