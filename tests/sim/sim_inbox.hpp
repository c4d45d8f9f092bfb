#pragma once

#include <deque>
#include <string>

#include "tests/sim/sim_source.hpp"

namespace gantry::sim {

/// A unix socket for datagrams, as `io::kernel::datagram_inbox` makes it.
class inbox final : public description, public source {
public:
  /// net.unix.max_dgram_qlen of Debian's kernel, and the one that is looked at already.
  static constexpr size_t most = 11;

  struct datagram {
    std::string bytes;
    pid_t pid = 0;
  };
  std::deque<datagram> waiting;

  [[nodiscard]] uint32_t ready() const override { return waiting.empty() ? 0u : POLLIN; }
  ssize_t read(std::span<char> into) override;
  [[nodiscard]] source* changes() const override { return const_cast<inbox*>(this); }
};

} // namespace gantry::sim
