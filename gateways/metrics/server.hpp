#pragma once

#include <functional>
#include <memory>

#include "gateways/metrics/exposition.hpp"
#include "io/loop.hpp"

namespace gantry::metrics {

/// Limits of the endpoint: policy, plain data.
struct endpoint_policy {
  size_t max_connections = 16;                                    ///< More are closed at once.
  io::nanoseconds head_time = std::chrono::seconds(10);           ///< For a whole request.
  io::nanoseconds reply_time = std::chrono::seconds(10);          ///< For a reader to take it.
  io::nanoseconds idle_time = std::chrono::seconds(90);           ///< Between two requests.
  size_t max_discarded = 4u << 20; ///< Of a refused request: read, so that it sees its refusal.
};

/// Serves `GET /metrics` over HTTP/1.1, on the loop. Everything else gets its status: 404, 405,
/// 400, 408, 413, 431, 505. Who asks slowly, or does not read, holds up nobody and is let go.
class endpoint {
public:
  using body = std::function<std::string(format)>;

  /// @param f Makes the text, for each request.
  endpoint(io::loop& l, body f, endpoint_policy policy = {});
  ~endpoint(); ///< Only at rest: before `listen`, or when `stop` has called back.
  endpoint(const endpoint&) = delete;
  endpoint& operator=(const endpoint&) = delete;

  /// Serves whoever connects to this listening socket, which is open until `stop` has called
  /// back. May be called for several.
  void listen(int listener);

  /// Ends all connections; `f` when nothing is in flight.
  void stop(std::function<void()> f);

  [[nodiscard]] size_t connections() const noexcept;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace gantry::metrics
