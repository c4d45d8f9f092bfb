#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "messages/unix_address.hpp"

// The calls of the real kernel that concern terminals and the socket over which the OCI
// runtime hands their masters over.

namespace gantry::io {

namespace {

/// Connections that may wait: a runtime makes one.
constexpr int console_backlog = 4;

template <class T>
T or_negated(T res) noexcept {
  return res < 0 ? T(-errno) : res;
}

/// Closes every descriptor of a message but the first. @returns the first, or -1.
int first_descriptor(msghdr& message) noexcept {
  int found = -1;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int one = -1;
      std::memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      if (found < 0)
        found = one;
      else
        ::close(one);
    }
  }
  return found;
}

/// What one connection hands over.
int received_descriptor(int connection) noexcept {
  char text[4096]; // The runtime sends the terminal's name, which says nothing to us.
  iovec data{text, sizeof(text)};
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t n = 0;
  do
    n = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return -errno;
  const int found = first_descriptor(message);
  return found >= 0 ? found : -EPROTO; // It said something else, or nothing.
}

} // namespace

int linux_kernel::dup(int fd) {
  return or_negated(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

int linux_kernel::listen(const std::string& path) {
  const auto at = unix_address_of(path);
  if (!at)
    return -ENAMETOOLONG;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  ::unlink(path.c_str()); // Of an attempt that a crash cut off.
  if (::bind(fd, at->get(), at->size) != 0 ||
      ::listen(fd, console_backlog) != 0) {
    const int err = errno;
    ::close(fd);
    return -err;
  }
  return fd;
}

int linux_kernel::take_descriptor(int listener) {
  for (;;) {
    int connection = -1;
    do
      connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (connection < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (connection < 0)
      return -errno;
    const int found = received_descriptor(connection);
    ::close(connection);
    if (found < 0)
      continue; // Somebody else's knock: the next one may bring it.
    const int flags = ::fcntl(found, F_GETFL);
    if (flags >= 0 && ::fcntl(found, F_SETFL, flags | O_NONBLOCK) == 0)
      return found;
    const int err = errno;
    ::close(found);
    return -err;
  }
}

int linux_kernel::terminal_readable(int fd) {
  // Twice: what was under way inside the kernel arrives with a poll, and the last writer may
  // leave between the look for bytes and the look for him.
  for (int look = 0; look < 2; ++look) {
    pollfd p{fd, POLLIN, 0};
    if (::poll(&p, 1, 0) < 0 && errno != EINTR)
      return -errno;
    int count = 0;
    if (::ioctl(fd, FIONREAD, &count) != 0)
      return -errno;
    if (count > 0)
      return count;
    if ((p.revents & POLLHUP) == 0)
      return 0;
  }
  return -EIO;
}

int linux_kernel::set_terminal_size(int fd, uint16_t width, uint16_t height) {
  winsize size{};
  size.ws_col = width;
  size.ws_row = height;
  return or_negated(::ioctl(fd, TIOCSWINSZ, &size));
}

} // namespace gantry::io
