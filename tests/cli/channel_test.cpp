#include "gateways/client/channel.hpp"

#include <array>
#include <thread>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateways/client/grpc.hpp"
#include "messages/gantry.pb.h"

using namespace gantry;
using namespace std::chrono_literals;

namespace {

/// A listening unix socket in a directory of its own; `accept` only when told.
class listener {
public:
  listener() {
    std::string pattern = "/tmp/gantry-channel-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    path = dir_ + "/s";
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(fd_, 4) == 0);
  }
  ~listener() {
    close();
    ::unlink(path.c_str());
    ::rmdir(dir_.c_str());
  }
  void close() {
    if (fd_ >= 0)
      ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int accept() const { return ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC); }

  std::string path;

private:
  std::string dir_;
  int fd_ = -1;
};

constexpr const char* list = "/gantry.v1.Containers/List";

result<v1::ListReply> ask(const std::string& path, client::channel_policy policy) {
  client::channel way(path, policy);
  return way.ask<v1::ListReply>(list, v1::ListRequest());
}

} // namespace

TEST_CASE("channel: nobody there is said at once, with the path and the cure") {
  const auto before = std::chrono::steady_clock::now();
  const auto reply = ask("/nonexistent/gantry.sock", {});
  CHECK(std::chrono::steady_clock::now() - before < 5s);
  REQUIRE_FALSE(reply.ok());
  CHECK(reply.why().code == ec::unavailable);
  CHECK(reply.why().text()
        == "cannot reach gantryd at /nonexistent/gantry.sock: No such file or "
           "directory (start it: gantryd, or name its socket by --socket)");
}

TEST_CASE("channel: a path that no socket can have is refused") {
  const auto reply = ask("/" + std::string(200, 'x'), {});
  REQUIRE_FALSE(reply.ok());
  CHECK(reply.why().code == ec::invalid_argument);
}

TEST_CASE("channel: a socket that greets nobody is given up after the outage") {
  const listener mute;
  const auto reply = ask(mute.path, {.outage = 100ms});
  REQUIRE_FALSE(reply.ok());
  CHECK(reply.why().code == ec::deadline_exceeded);
  CHECK(reply.why().message.find("does not answer") != std::string::npos);
}

TEST_CASE("channel: what speaks another protocol is named as that") {
  const listener other;
  std::thread peer([&other] {
    const int fd = other.accept();
    constexpr std::string_view page = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    CHECK(::write(fd, page.data(), page.size()) == static_cast<ssize_t>(page.size()));
    std::array<char, 512> sink{};
    while (::read(fd, sink.data(), sink.size()) > 0) {
    }
    ::close(fd);
  });
  const auto reply = ask(other.path, {});
  peer.join();
  REQUIRE_FALSE(reply.ok());
  CHECK(reply.why().code == ec::internal);
  CHECK(reply.why().message.find("is not gantryd") != std::string::npos);
}

TEST_CASE("channel: a peer that hangs up each time is tried until the outage is over") {
  listener door;
  int visits = 0;
  std::thread peer([&door, &visits] {
    for (int fd = door.accept(); fd >= 0; fd = door.accept()) {
      std::array<char, 512> sink{};
      const ssize_t n = ::read(fd, sink.data(), sink.size());
      ::close(fd);
      if (n > 0 && sink[0] == 'q') // The test says that it is over.
        return;
      ++visits;
    }
  });
  const auto reply = ask(door.path, {.outage = 150ms, .first_pause = 5ms, .longest_pause = 20ms});
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  door.path.copy(at.sun_path, sizeof at.sun_path - 1);
  const int end = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(end, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
  REQUIRE(::write(end, "q", 1) == 1);
  peer.join();
  ::close(end);
  REQUIRE_FALSE(reply.ok());
  CHECK(reply.why().code == ec::unavailable);
  CHECK(reply.why().message.find("lost gantryd at") != std::string::npos);
  CHECK(visits >= 3);
}

TEST_CASE("channel: a dropped call is not heard of again, and the step does not wait for it") {
  const listener mute;
  client::channel way(mute.path, {.outage = 10s});
  client::unary<v1::ListReply> c(list, v1::ListRequest());
  way.start(c);
  way.step({}, 0);
  way.drop(c);
  way.step({}, 0);
  CHECK_FALSE(c.finished());
}

TEST_CASE("channel: other descriptors are polled beside the socket") {
  const listener mute;
  client::channel way(mute.path, {.outage = 10s});
  client::unary<v1::ListReply> c(list, v1::ListRequest());
  way.start(c);
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  REQUIRE(::write(ends[1], "x", 1) == 1);
  std::array<pollfd, 2> others{pollfd{ends[0], POLLIN, 0}, pollfd{-1, POLLIN, 0}};
  way.step(others, -1);
  CHECK(others[0].revents == POLLIN);
  CHECK(others[1].revents == 0);
  ::close(ends[0]);
  ::close(ends[1]);
  way.drop(c);
}

TEST_CASE("grpc: messages are cut at any boundary") {
  const std::string bytes = client::framed("one") + client::framed("") + client::framed("three");
  for (size_t step = 1; step <= bytes.size(); ++step) {
    client::message_cutter cutter;
    std::vector<std::string> got;
    for (size_t at = 0; at < bytes.size(); at += step)
      REQUIRE(cutter
                .feed(std::string_view(bytes).substr(at, step),
                      [&got](std::string_view m) { got.emplace_back(m); })
                .ok());
    CHECK(got == std::vector<std::string>{"one", "", "three"});
    CHECK_FALSE(cutter.torn());
  }
}

TEST_CASE("grpc: a message of 4 GiB, a compressed one and half a one are noticed") {
  const auto ignore = [](std::string_view) { FAIL("no message is whole"); };
  client::message_cutter huge;
  CHECK(huge.feed(std::string("\0\xff\xff\xff\xff", 5), ignore).why().code
        == ec::resource_exhausted);
  client::message_cutter packed;
  CHECK_FALSE(packed.feed(std::string("\1\0\0\0\0", 5), ignore).ok());
  client::message_cutter slow; // The same, a byte at a time.
  result<void> last;
  for (char c : std::string("\0\xff\xff\xff\xff\0", 6))
    if (last)
      last = slow.feed(std::string(1, c), ignore);
  CHECK_FALSE(last.ok());
  client::message_cutter half;
  CHECK(half.feed(std::string("\0\0\0\0\7abc", 8), ignore).ok());
  CHECK(half.torn());
}

TEST_CASE("grpc: percent encoding is undone, and what is none stays") {
  CHECK(client::percent_decoded("a%20b%E2%80%94") == "a b\xe2\x80\x94");
  CHECK(client::percent_decoded("100%") == "100%");
  CHECK(client::percent_decoded("%zz%4") == "%zz%4");
}
