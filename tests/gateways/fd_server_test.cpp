#include "gateways/bus/fd_server.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "gateways/client/process_fd.hpp"
#include "tests/gateways/bus_rig.hpp"

using namespace gantry;
using namespace gantry::test;
using namespace std::chrono_literals;

namespace {

/// A bus with its fds.sock, whose clients are blocking ones in threads of their own.
struct fd_rig {
  explicit fd_rig(bus::fd_server_policy policy = {}) : fds(bus.loop, bus.front, policy) {
    bus.front.fds_socket = bus.socket.path() + ".fds";
    listener = listen_at(bus.front.fds_socket, SOCK_SEQPACKET);
    REQUIRE(listener >= 0);
    fds.listen(listener);
  }

  ~fd_rig() {
    bool stopped = false;
    fds.stop([&stopped] { stopped = true; });
    GANTRY_CHECK(bus.until([&stopped] { return stopped; }));
    ::close(listener);
    ::unlink(bus.front.fds_socket.c_str());
  }

  template <class F>
  void beside(F client) {
    std::atomic<bool> done = false;
    std::thread other([&done, &client] {
      client();
      done = true;
    });
    const bool in_time = bus.until([&done] { return done.load(); });
    other.join();
    REQUIRE(in_time);
  }

  result<int> present(const std::string& ticket) {
    result<int> got = error{ec::internal, "not asked", ""};
    beside([&] { got = client::present_ticket(bus.front.fds_socket, ticket); });
    return got;
  }

  std::string ticket() {
    return *bus.front.tickets().issue({bus.loop.sys(), bus.loop.sys().eventfd()},
                                      {::getuid(), ::getpid()});
  }

  bus_rig bus;
  bus::fd_server fds;
  int listener = -1;
};

int packet_client(const std::string& path) {
  const int s = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  REQUIRE(::connect(s, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
  return s;
}

} // namespace

TEST_CASE("fds: a client gets a pidfd that tells of the end of its process", "[uring]") {
  fd_rig rig;
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  result<int> got = error{ec::internal, "not asked", ""};
  rig.beside([&] {
    client::channel to(rig.bus.socket.path());
    v1::GetProcessFdRequest which;
    which.set_process(std::to_string(child));
    got = client::fetch_process_fd(to, which);
  });
  REQUIRE(got.ok());
  pollfd end{*got, POLLIN, 0};
  CHECK(::poll(&end, 1, 0) == 0);
  ::kill(child, SIGKILL);
  CHECK(::poll(&end, 1, 5000) == 1);
  CHECK((::fcntl(*got, F_GETFD) & FD_CLOEXEC) != 0);
  ::close(*got);
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("fds: the error of the first half reaches the client", "[uring]") {
  fd_rig rig;
  result<int> got = 0;
  rig.beside([&] {
    client::channel to(rig.bus.socket.path());
    v1::GetProcessFdRequest which;
    which.mutable_ref()->set_id("missing");
    got = client::fetch_process_fd(to, which);
  });
  REQUIRE_FALSE(got.ok());
  CHECK(got.why().code == ec::not_found);
}

TEST_CASE("fds: a bad ticket has a clear error, ends the connection, is limited", "[uring]") {
  fd_rig rig({.max_bad_tickets = 3});
  for (int i = 0; i < 3; ++i) {
    const auto bad = rig.present("nonsense");
    REQUIRE_FALSE(bad.ok());
    CHECK(bad.why().code == ec::invalid_argument);
    CHECK(bad.why().cure.find("GetProcessFd") != std::string::npos);
  }
  CHECK(rig.bus.front.tickets().refused() == 3);
  const auto good = rig.present(rig.ticket());
  REQUIRE_FALSE(good.ok());
  CHECK(good.why().code == ec::resource_exhausted);
  CHECK(rig.bus.front.tickets().refused() == 3);
}

TEST_CASE("fds: a ticket is good once", "[uring]") {
  fd_rig rig;
  const auto ticket = rig.ticket();
  const auto first = rig.present(ticket);
  REQUIRE(first.ok());
  ::close(*first);
  CHECK(rig.present(ticket).why().code == ec::not_found);
}

TEST_CASE("fds: packets that are none, and clients that come and go, harm nothing", "[uring]") {
  fd_rig rig;
  const auto& path = rig.bus.front.fds_socket;
  for (const auto& packet : {std::string("\xff\xff\xff"), std::string(400, 'x'),
                             std::string(100'000, 'y')}) {
    const int s = packet_client(path);
    REQUIRE(::send(s, packet.data(), packet.size(), MSG_NOSIGNAL) == ssize_t(packet.size()));
    v1::FdReply reply;
    REQUIRE(rig.bus.until([&] {
      std::string into(4096, '\0');
      const auto n = ::recv(s, into.data(), into.size(), MSG_DONTWAIT);
      return n > 0 && reply.ParseFromString(into.substr(0, size_t(n)));
    }));
    CHECK_FALSE(reply.code().empty());
    ::close(s);
  }
  std::vector<int> many;
  for (int i = 0; i < 40; ++i)
    many.push_back(packet_client(path));
  REQUIRE(rig.bus.until([&rig] { return rig.fds.connections() == 16; })); // Of one user.
  for (const int s : many)
    ::close(s);
  REQUIRE(rig.bus.until([&rig] { return rig.fds.connections() == 0; }));
  CHECK(rig.present(rig.ticket()).ok());
}

TEST_CASE("fds: who says nothing is dropped", "[uring]") {
  fd_rig rig({.patience = 20ms});
  const int s = packet_client(rig.bus.front.fds_socket);
  REQUIRE(rig.bus.until([&rig] { return rig.fds.connections() == 1; }));
  REQUIRE(rig.bus.until([&rig] { return rig.fds.connections() == 0; }));
  ::close(s);
}
