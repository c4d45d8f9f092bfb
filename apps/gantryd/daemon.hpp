#pragma once

#include <memory>

#include "actors/host.hpp"
#include "gateways/bus/fd_server.hpp"
#include "gateways/bus/server.hpp"
#include "io/launch.hpp"
#include "io/linux_kernel.hpp"
#include "io/log_sink.hpp"
#include "io/watchdog.hpp"
#include "metrics_door.hpp"
#include "options.hpp"

namespace gantry::daemon {

/// gantryd, wired: kernel, loop, keeper, supervisor, bus.
class daemon {
public:
  daemon(daemon_options options, std::shared_ptr<io::log_sink> log);
  ~daemon();

  /// Makes everything and begins to serve.
  result<void> start(const io::launched& how);

  /// Serves until a signal ends it; the process's exit code.
  int run();

private:
  result<void> take_state(); ///< Refuses a second daemon on the same state.
  result<void> open_shelf(const io::launched& how);
  result<void> open_sockets();
  void serve();
  void stop_serving(std::function<void()> f);
  result<void> listen_to_signals();
  void on_signal(int32_t ready);
  void stop(int sig);
  void rest();
  void say_alive();

  daemon_options options_;
  std::shared_ptr<io::log_sink> log_;
  std::unique_ptr<io::linux_kernel> kernel_;
  std::unique_ptr<io::loop> loop_;
  std::unique_ptr<io::watchdog> watchdog_;
  std::unique_ptr<io::shelf> shelf_;
  runtime::cgroup_host cgroups_;
  std::unique_ptr<actors::supervisor_host> host_;
  std::unique_ptr<bus::server> bus_;
  std::unique_ptr<metrics_door> metrics_;
  std::unique_ptr<bus::fd_server> fds_;
  std::unique_ptr<io::poll_op> signals_;
  std::unique_ptr<io::timer> settled_; ///< The start is over: its memory goes back.
  std::unique_ptr<io::timer> alive_;   ///< The service manager's watchdog is fed.
  io::fd lock_;
  io::fd bus_listener_;
  io::fd fds_listener_;
  io::fd signal_fd_;
  bool supervised_ = false;
  bool stopping_ = false;
  bool stops_ = false; ///< The end that has begun takes the containers along.
  bool at_rest_ = false;
};

} // namespace gantry::daemon
