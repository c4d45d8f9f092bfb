#pragma once

#include <span>
#include <sys/types.h>

#include "io/keeper_wire.hpp"

namespace gantry::io {

/// One packet of a keeper's socket, as it arrived.
struct keeper_packet {
  ssize_t size = -1; ///< In bytes; 0 at the end of the connection, or a negated errno.
  bool cut = false;  ///< Descriptors were lost on the way.
  keeper_wire::message what;
  int fds[keeper_wire::max_fds];
  size_t count = 0; ///< Descriptors; the receiver owns them, they are close-on-exec.
};

/// Takes the next packet without waiting (-EAGAIN). Never throws away what is in the queue
/// of a peer that has gone. Both ends use these two; neither allocates.
/// @param rest Where the strings behind a message go; a byte more shows that there are some.
keeper_packet receive_packet(int from, std::span<char> rest = {}) noexcept;

/// Sends a message, with strings behind it, without waiting; 0 or a negated errno.
int send_packet(int to, const keeper_wire::message& what, std::span<const int> fds,
                std::span<const char> strings = {}) noexcept;

} // namespace gantry::io
