#pragma once

#include <functional>
#include <memory>

#include "actors/front.hpp"
#include "io/loop.hpp"

namespace gantry::bus {

/// Limits of the bus: policy, plain data.
struct server_policy {
  size_t max_connections = 512;
  size_t max_streams = 256;                ///< Per connection.
  size_t max_message_bytes = 4u << 20;     ///< A larger request: RESOURCE_EXHAUSTED.
  size_t max_queued_bytes = 256u << 10;    ///< Per stream; then the source is not asked for more.
  io::nanoseconds idle_handshake = std::chrono::seconds(10); ///< Preface must have come by then.
};

/// gRPC over HTTP/2 on a unix socket, on the loop. The listener is not owned (it lies on
/// the keeper's shelf).
class server {
public:
  server(io::loop& l, actors::front& behind, server_policy policy = {});
  ~server(); ///< Only at rest: see `stop`.

  void listen(int listener);

  /// No new calls; running ones get `grace`, then UNAVAILABLE; `f` when all is closed.
  void stop(io::nanoseconds grace, std::function<void()> f);

  [[nodiscard]] size_t connections() const noexcept;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace gantry::bus
