#include "gateways/client/process_fd.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "messages/unix_address.hpp"

namespace gantry::client {

namespace {

constexpr int most_tries = 3;
constexpr time_t patience_s = 5;
constexpr size_t max_packet = 8192;

/// A socket that closes itself.
struct packet_socket {
  packet_socket() = default;
  packet_socket(const packet_socket&) = delete;
  packet_socket& operator=(const packet_socket&) = delete;
  ~packet_socket() {
    if (fd >= 0)
      ::close(fd);
  }
  int fd = -1;
};

result<void> connect_to(const std::string& path, packet_socket& out) {
  const auto at = unix_address_of(path);
  if (!at)
    return error{ec::invalid_argument, "the socket path is too long: " + path, ""};
  out.fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (out.fd < 0)
    return from_errno(errno, "make", "a socket");
  const timeval patience{patience_s, 0};
  ::setsockopt(out.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(out.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(out.fd, at->get(), at->size) != 0) {
    auto why = from_errno(errno, "reach gantryd at", path);
    if (why.code != ec::permission_denied)
      why.code = ec::unavailable;
    return why;
  }
  return {};
}

/// One packet, with the descriptor that came beside it, or -1.
result<std::string> receive(int from, int& fd) {
  std::string bytes(max_packet, '\0');
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec part{bytes.data(), bytes.size()};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  ssize_t n = 0;
  do
    n = ::recvmsg(from, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  for (auto* c = n < 0 ? nullptr : CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
      std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return error{ec::deadline_exceeded, "gantryd did not answer on its fds.sock",
                 "it may be overloaded: look at its log"};
  if (n <= 0) // An empty packet is an empty FdReply, but then a descriptor came.
    return n == 0 && fd >= 0 ? result<std::string>{std::string{}}
                             : error{ec::unavailable, "gantryd closed its fds.sock", "try again"};
  bytes.resize(size_t(n));
  return bytes;
}

} // namespace

result<int> present_ticket(const std::string& socket, const std::string& ticket) {
  packet_socket s;
  if (auto connected = connect_to(socket, s); !connected)
    return std::move(connected).why();
  v1::FdRequest request;
  request.set_ticket(ticket);
  const auto bytes = request.SerializeAsString();
  if (::send(s.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != ssize_t(bytes.size()))
    return error{ec::unavailable, "gantryd closed its fds.sock", "try again"};
  int fd = -1;
  auto packet = receive(s.fd, fd);
  v1::FdReply reply;
  const bool read = packet.ok() && reply.ParseFromString(*packet);
  if (read && reply.code().empty() && fd >= 0)
    return fd;
  if (fd >= 0)
    ::close(fd);
  if (!packet)
    return std::move(packet).why();
  if (!read || reply.code().empty())
    return error{ec::internal, "gantryd gave no readable answer on its fds.sock",
                 "use the same version of both"};
  return error{code_named(reply.code()), reply.message(), reply.cure()};
}

result<int> fetch_process_fd(channel& to, const v1::GetProcessFdRequest& which) {
  for (int tries = 1;; ++tries) {
    auto got = to.ask<v1::GetProcessFdReply>("/gantry.v1.Processes/GetProcessFd", which);
    if (!got)
      return std::move(got).why();
    auto fd = present_ticket(got->socket(), got->ticket());
    const bool passing
      = !fd && (fd.why().code == ec::not_found || fd.why().code == ec::unavailable);
    if (!passing || tries == most_tries)
      return fd;
  }
}

} // namespace gantry::client
