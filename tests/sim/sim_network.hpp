#pragma once

#include <cerrno>
#include <functional>
#include <string>

#include "tests/sim/sim_random.hpp"
#include "tests/sim/sim_source.hpp"

namespace gantry::sim {

/// What somebody who connects meets.
struct peer_fate {
  int connect = 0; ///< A negated errno; -EINPROGRESS: nobody ever answers.
  nanoseconds connect_after{0};
  std::string answer = {};     ///< Said this long after something was said to it …
  nanoseconds answer_after{0};
  bool closes = true;          ///< … and then it ends the connection.
  bool resets = false;         ///< It does so with a reset, and no answer.
};

/// A client's stream socket.
class stream_socket final : public description,
                            public source,
                            public std::enable_shared_from_this<stream_socket> {
public:
  peer_fate fate;
  std::string said;   ///< By us, in all.
  std::string coming; ///< Has come, and was not read.
  bool connected = false;
  bool at_end = false;
  bool broken = false;
  bool answered = false; ///< It is on its way, or was.

  [[nodiscard]] uint32_t ready() const override {
    return POLLOUT | (coming.empty() && !at_end && !broken ? 0u : POLLIN);
  }
  [[nodiscard]] source* changes() const override { return const_cast<stream_socket*>(this); }
  ssize_t read(std::span<char> into) override;
};

/// Everybody whom a container's probes may connect to, and what hangs beneath its root.
struct network {
  /// The fate of the next connection; the default refuses.
  std::function<peer_fate()> next = [] { return peer_fate{.connect = -ECONNREFUSED}; };
  nanoseconds path_hangs_until{0}; ///< Whoever opens a path in a root until then waits so long.
  size_t connections = 0;          ///< That were begun.
  std::weak_ptr<stream_socket> last{}; ///< The newest that was made.
};

} // namespace gantry::sim
