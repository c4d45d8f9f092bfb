#pragma once

#include <spdlog/sinks/sink.h>

#include "actors/host.hpp"
#include "gateways/bus/fd_server.hpp"
#include "gateways/bus/server.hpp"
#include "io/launch.hpp"
#include "io/linux_kernel.hpp"
#include "io/watchdog.hpp"
#include "library/body.hpp"
#include "library/loop_reactor.hpp"
#include "library/sub_reaper.hpp"

namespace gantry::library {

/// A supervisor inside this process: what gantryd is, less what belongs to a program.
class embedded final : public supervisor::impl {
public:
  explicit embedded(start_options how) : options_(std::move(how)) {}
  ~embedded() override { finish({}); }

  /// Returns when it serves. After an error: destroy it without `finish`.
  result<void> start();

private:
  void main();
  result<void> make();
  result<void> open_shelf();
  result<void> open_sockets();
  result<void> make_host();
  void begin_end(std::optional<bool> stop_containers) override;
  void settle(int rounds);
  void part();
  void release();

  start_options options_;
  std::unique_ptr<io::linux_kernel> kernel_;
  std::unique_ptr<io::loop> loop_;
  io::fd lock_;
  sub_reaper reaper_;
  std::unique_ptr<io::shelf> shelf_;
  runtime::cgroup_host cgroups_;
  std::unique_ptr<actors::supervisor_host> host_;
  io::fd listener_;
  io::fd fds_listener_;
  std::unique_ptr<bus::server> bus_;
  std::unique_ptr<bus::fd_server> fds_;
  std::unique_ptr<io::watchdog> watchdog_;
  loop_reactor* reactor_ = nullptr; ///< The site's.
  std::unique_ptr<io::timer> patience_; ///< The last events are being handed on.
  bool supervised_ = false;
  bool stops_ = false;
  bool ending_ = false;
  io::nanoseconds hand_on_until_{0};
};

} // namespace gantry::library
