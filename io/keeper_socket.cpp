#include "io/keeper_socket.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace gantry::io {

namespace wire = keeper_wire;

keeper_packet receive_packet(int from, std::span<char> rest) noexcept {
  keeper_packet out;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(out.fds))];
  iovec parts[2] = {{&out.what, sizeof(out.what)}, {rest.data(), rest.size()}};
  msghdr m{};
  m.msg_iov = parts;
  m.msg_iovlen = rest.empty() ? 1 : 2;
  m.msg_control = control;
  m.msg_controllen = sizeof(control);
  do
    out.size = ::recvmsg(from, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (out.size < 0 && (errno == EINTR || errno == ECONNRESET)); // said once, then the queue
  if (out.size < 0) {
    out.size = -errno;
    return out;
  }
  out.cut = (m.msg_flags & MSG_CTRUNC) != 0;
  for (auto* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
      out.count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      std::memcpy(out.fds, CMSG_DATA(c), out.count * sizeof(int));
    }
  return out;
}

int send_packet(int to, const wire::message& what, std::span<const int> fds,
                std::span<const char> strings) noexcept {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::max_fds)] = {};
  iovec parts[2] = {{const_cast<wire::message*>(&what), sizeof(what)},
                    {const_cast<char*>(strings.data()), strings.size()}};
  msghdr m{};
  m.msg_iov = parts;
  m.msg_iovlen = strings.empty() ? 1 : 2;
  if (!fds.empty()) {
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(fds.size_bytes());
    auto* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    if (errno != EINTR)
      return -errno;
  return 0;
}

} // namespace gantry::io
