#pragma once

#include <functional>
#include <memory>

#include "actors/front.hpp"
#include "gateways/bus/peer.hpp"
#include "io/loop.hpp"

namespace gantry::bus {

/// Limits of the bus: policy, plain data.
struct server_policy {
  size_t max_connections = 512;
  size_t max_user_connections = 64; ///< Of them for one user who is neither root nor ours.
  size_t kept_connections = 64;     ///< Of them for root and our own user alone.
  size_t max_streams = 256;             ///< Per connection.
  size_t max_message_bytes = 4u << 20;  ///< A larger request: RESOURCE_EXHAUSTED.
  size_t max_queued_bytes = 256u << 10; ///< Per stream; then the source is not asked for more.
  size_t max_unread_bytes = 16u << 20;  ///< Per connection: replies its client did not read;
                                        ///< above it new calls get RESOURCE_EXHAUSTED.
  size_t max_request_bytes = 64u << 20; ///< Of all requests that are still coming in; a
                                        ///< connection may have a quarter of it.
  io::nanoseconds idle_handshake = std::chrono::seconds(10); ///< Preface must have come by then.
  role_policy roles{};              ///< Who may read and who may operate.
};

/// gRPC over HTTP/2 on a unix socket, on the loop. The listener is not owned (it lies on
/// the keeper's shelf).
class server {
public:
  server(io::loop& l, actors::front& behind, server_policy policy = {});
  ~server(); ///< Only at rest: before `listen`, or when `stop` has called back.
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Serves whoever connects to `listener`, a listening unix socket that is open until
  /// `stop` has called back. May be called for several listeners.
  void listen(int listener);

  /// No new calls; running ones get `grace`, then UNAVAILABLE; `f` when all is closed.
  void stop(io::nanoseconds grace, std::function<void()> f);

  [[nodiscard]] size_t connections() const noexcept;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace gantry::bus
