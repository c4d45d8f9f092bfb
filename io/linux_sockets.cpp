// Sockets, ours and those in other network namespaces.

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include "io/linux_kernel.hpp"

namespace gantry::io {

int linux_kernel::socket(int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

// A thread has its own network namespace, so nobody else goes with us. Between the way there and
// the way back nothing is handed to the ring, nothing is started, and nothing can fail but the
// socket.
int linux_kernel::socket_near(int pidfd, int family) {
  if (own_network_ < 0)
    own_network_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own_network_ < 0)
    return -errno;
  if (::setns(pidfd, CLONE_NEWNET) != 0)
    return -errno;
  const int out = socket(family);
  const bool back = ::setns(own_network_, CLONE_NEWNET) == 0;
  GANTRY_CHECK(back);
  return out;
}

} // namespace gantry::io
