#include "metrics_door.hpp"

#include "gateways/metrics/render.hpp"
#include "io/listener.hpp"
#include "io/log.hpp"
#include "sockets.hpp"

namespace gantry::daemon {

namespace {
constexpr io::shelf_key metrics_listener{io::shelf_kind::listener, 16};
constexpr io::shelf_key tcp_listener{io::shelf_kind::listener, 17};
}

metrics_door::metrics_door(io::loop& l, actors::supervisor_host& host, metrics_options options)
  : loop_(l), options_(std::move(options)), meter_(host.shared()),
    endpoint_(l, [this](metrics::format f) {
      return metrics::render(meter_.take(options_.most_containers), f);
    }) {}

result<void> metrics_door::open(io::shelf& keeper, std::vector<io::shelf_entry>& shelved) {
  auto made = io::listen_unix(loop_.sys(), keeper, shelved,
                              {.key = metrics_listener, .path = options_.socket,
                               .mark = metrics_mark});
  if (!made)
    return std::move(made).why();
  unix_ = std::move(*made);
  endpoint_.listen(unix_.get());
  if (options_.listen.empty())
    return {};
  auto tcp = io::listen_loopback(loop_.sys(), keeper, shelved, tcp_listener, options_.listen);
  if (!tcp)
    return std::move(tcp).why();
  tcp_ = std::move(*tcp);
  endpoint_.listen(tcp_.get());
  io::log_info("metrics are served on {}", options_.listen);
  return {};
}

} // namespace gantry::daemon
