// A bus over a fake front, for clients of other languages: fake_server SOCKET [READ OPERATE],
// with the groups of the two roles; descriptors are at SOCKET.fds.
// Says "ready" when it listens; ends on SIGTERM, with a grace of 200 ms for its calls.
// SIGUSR1 publishes an event to all followers.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sys/socket.h>
#include <unistd.h>

#include "gateways/bus/fd_server.hpp"
#include "tests/gateways/bus_rig.hpp"

namespace {

gantry::io::linux_kernel* waker = nullptr;
volatile std::sig_atomic_t ends = 0;
volatile std::sig_atomic_t publishes = 0;

void on_signal(int number) {
  if (number == SIGUSR1)
    publishes = 1;
  else
    ends = 1;
  waker->wake();
}

} // namespace

int main(int argc, char** argv) {
  using namespace gantry;
  if (argc != 2 && argc != 4) {
    std::fprintf(stderr, "usage: fake_server SOCKET [READ_GID OPERATE_GID]\n");
    return 2;
  }
  bus::role_policy roles;
  if (argc == 4)
    roles = {{gid_t(std::atoi(argv[2]))}, {gid_t(std::atoi(argv[3]))}};
  auto kernel = io::linux_kernel::make();
  if (!kernel.ok()) {
    std::fprintf(stderr, "%s\n", kernel.why().text().c_str());
    return 1;
  }
  waker = kernel->get();
  io::loop loop(*waker);
  test::fake_front front(loop);
  front.fds_socket = std::string(argv[1]) + ".fds";
  bus::server server(loop, front, {.roles = roles});
  bus::fd_server fds(loop, front, {.roles = roles});
  const int listener = test::listen_at(argv[1]);
  const int fd_listener = test::listen_at(front.fds_socket, SOCK_SEQPACKET);
  if (listener < 0 || fd_listener < 0) {
    std::perror(argv[1]);
    return 1;
  }
  server.listen(listener);
  fds.listen(fd_listener);
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int number : {SIGTERM, SIGINT, SIGUSR1})
    ::sigaction(number, &action, nullptr);
  std::puts("ready");
  std::fflush(stdout);
  bool stopping = false;
  bool stopped = false;
  while (!stopped) {
    loop.turn(true);
    if (std::exchange(publishes, 0) != 0)
      front.publish("published");
    if (ends != 0 && !std::exchange(stopping, true))
      server.stop(std::chrono::milliseconds(200),
                  [&stopped, &fds] { fds.stop([&stopped] { stopped = true; }); });
  }
  front.release();
  while (loop.turn(false)) {
  }
  ::unlink(front.fds_socket.c_str());
  return server.connections() == 0 && front.sources == 0 ? 0 : 1;
}
