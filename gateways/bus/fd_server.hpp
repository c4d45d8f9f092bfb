#pragma once

#include <functional>
#include <memory>

#include "actors/front.hpp"
#include "gateways/bus/peer.hpp"
#include "io/loop.hpp"

namespace gantry::bus {

/// Limits of fds.sock: policy, plain data.
struct fd_server_policy {
  size_t max_connections = 64;
  size_t max_user_connections = 16;                     ///< Of one user, root too.
  io::nanoseconds patience = std::chrono::seconds(10);  ///< A connection's whole life.
  size_t max_bad_tickets = 16;                          ///< Of one user within `bad_window`.
  io::nanoseconds bad_window = std::chrono::seconds(10);
  role_policy roles{};
};

/// Where the socket for descriptors stands: beside the bus's, and two supervisors may share a
/// directory.
std::string fds_socket_beside(const std::string& bus_socket);

/// Hands descriptors to those who present a ticket: a packet socket (SOCK_SEQPACKET) on which
/// a client sends one v1.FdRequest and gets one v1.FdReply, with the descriptor beside it
/// (SCM_RIGHTS) where its code is empty; as often as it likes, until a ticket was bad. On the
/// loop; the listener is not owned.
class fd_server {
public:
  fd_server(io::loop& l, actors::front& behind, fd_server_policy policy = {});
  ~fd_server(); ///< Only at rest: before `listen`, or when `stop` has called back.
  fd_server(const fd_server&) = delete;
  fd_server& operator=(const fd_server&) = delete;

  void listen(int listener);
  void stop(std::function<void()> f); ///< At once; `f` when all is closed.

  [[nodiscard]] size_t connections() const noexcept;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace gantry::bus
