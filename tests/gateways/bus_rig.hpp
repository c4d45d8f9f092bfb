#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <vector>

#include "gateways/bus/server.hpp"
#include "io/linux_kernel.hpp"
#include "tests/gateways/bus_client.hpp"
#include "tests/gateways/fake_front.hpp"
#include "tests/slower.hpp"

namespace gantry::test {

/// A listening unix socket in a directory of its own.
class listener {
public:
  listener();
  ~listener();
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
  std::string dir_;
  std::string path_;
  int fd_ = -1;
};

/// Listens at `path`; -1 with errno where that fails.
int listen_at(const std::string& path, int type = SOCK_STREAM);

/// Server and clients on one thread: they take turns until something is true.
class bus_rig {
public:
  explicit bus_rig(bus::server_policy policy = {});
  ~bus_rig(); ///< Stops the server, and checks that all came to rest.

  bus_client& connect();          ///< One that has greeted.
  bus_client& connect_silently(); ///< One that has said nothing.

  /// Turns until `done`, at most five seconds (scaled). False when the time ran out.
  template <class Done>
  bool until(Done done) {
    const auto limit = std::chrono::steady_clock::now() + tests::scaled(std::chrono::seconds(5));
    while (!done()) {
      if (std::chrono::steady_clock::now() > limit)
        return false;
      step();
    }
    return true;
  }

  /// One call with its answer.
  bus_answer ask(bus_client& c, const std::string& path, std::string_view message,
                 const field_list& more = {});

  /// A fresh client makes a call and gets its answer.
  bool serves();

  void step(); ///< One turn and one step of each client.
  void stop(std::chrono::nanoseconds grace);
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

  std::unique_ptr<io::linux_kernel> kernel;
  io::loop loop;
  fake_front front;
  listener socket;
  std::unique_ptr<bus::server> server;
  std::vector<std::unique_ptr<bus_client>> clients;

private:
  bool stopping_ = false;
  bool stopped_ = false;
};

} // namespace gantry::test
