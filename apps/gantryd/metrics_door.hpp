#pragma once

#include "actors/host.hpp"
#include "actors/meter.hpp"
#include "gateways/metrics/server.hpp"

namespace gantry::daemon {

/// Where the metrics are served, and how much of them.
struct metrics_options {
  std::string socket;         ///< Default: STATE/metrics.sock.
  std::string listen;         ///< A loopback address besides, 127.0.0.1:PORT; empty: none.
  size_t most_containers = 100; ///< So many have figures of their own.
};

/// The meter and its endpoint. Ends before the host: `stop`, then the destructor.
class metrics_door {
public:
  metrics_door(io::loop& l, actors::supervisor_host& host, metrics_options options);

  /// Opens the sockets, those of an earlier life where they are among `shelved`, and serves.
  result<void> open(io::shelf& keeper, std::vector<io::shelf_entry>& shelved);

  void stop(std::function<void()> f) { endpoint_.stop(std::move(f)); }

private:
  io::loop& loop_;
  metrics_options options_;
  actors::meter meter_;
  metrics::endpoint endpoint_;
  io::fd unix_;
  io::fd tcp_;
};

} // namespace gantry::daemon
