// Sockets, ours and those in other network namespaces.

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "messages/unix_address.hpp"

namespace gantry::io {

namespace {

// The last packet of the handshake waits for our first bytes, or for the reset that the close
// makes of it (TCP_QUICKACK and SO_LINGER, tcp(7) and socket(7)); the server is woken once, or
// never. A knock costs 6.3 us of CPU where an orderly one takes 9.5, and its server nothing
// (decision 22). A kernel that will not only costs more.
void set_manners(int fd, errand what) {
  const int off = 0;
  ::setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
  if (what == errand::talk)
    return;
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

} // namespace

int linux_kernel::socket(int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

// A thread has its own network namespace, so nobody else goes with us. Between the way there and
// the way back nothing is handed to the ring, nothing is started, and nothing can fail but the
// socket.
int linux_kernel::socket_near(int pidfd, int family, errand what) {
  if (own_network_ < 0)
    own_network_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own_network_ < 0)
    return -errno;
  if (::setns(pidfd, CLONE_NEWNET) != 0)
    return -errno;
  const int out = socket(family);
  const bool back = ::setns(own_network_, CLONE_NEWNET) == 0;
  GANTRY_CHECK(back);
  if (out >= 0)
    set_manners(out, what);
  return out;
}

int linux_kernel::datagram_inbox(const std::string& dir, const std::string& name) {
  constexpr mode_t writable = 0666; // Who they are is in what they send.
  constexpr mode_t passable = 0755;
  const auto path = dir + "/" + name;
  const auto at = unix_address_of(path);
  if (!at)
    return -ENAMETOOLONG;
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  const int on = 1;
  // By chmod as well: whatever the umask is.
  if ((::mkdir(dir.c_str(), passable) != 0 && errno != EEXIST)
      || ::chmod(dir.c_str(), passable) != 0) {
    const int err = errno;
    ::close(fd);
    return -err;
  }
  ::unlink(path.c_str()); // Of an attempt that a crash cut off, or of the run before.
  if (::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0
      || ::bind(fd, at->get(), at->size) != 0
      || ::chmod(path.c_str(), writable) != 0) {
    const int err = errno;
    ::close(fd);
    return -err;
  }
  return fd;
}

// There is room for the sender's credentials and for nothing else: what was sent with SCM_RIGHTS
// the kernel then drops by itself (MSG_CTRUNC), so a flood of descriptors finds no way in. It
// stays in front until it is read: what a crash cuts off is found again.
ssize_t linux_kernel::take_datagram(int fd, std::span<char> into, datagram_note& note) {
  iovec data{into.data(), into.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t n = 0;
  do
    n = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_PEEK | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return -errno;
  note = {.pid = 0, .cut = (message.msg_flags & MSG_TRUNC) != 0};
  const auto* head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_CREDENTIALS)
    return n;
  ucred who{};
  std::memcpy(&who, CMSG_DATA(head), sizeof(who));
  note.pid = who.pid;
  return n;
}

} // namespace gantry::io
