#pragma once

#include <span>
#include <string>
#include <string_view>

#include "io/launch.hpp"

namespace gantry::io {

/// What a socket can be handed over for.
struct handed_kind {
  std::string_view name; ///< As in LISTEN_FDNAMES.
  char mark;             ///< Its letter in `handed_sockets::marks`.
  int type;              ///< SOCK_STREAM or SOCK_SEQPACKET.
};

/// The listening sockets that whoever started this process hands over, by LISTEN_PID, LISTEN_FDS
/// and LISTEN_FDNAMES (sd_listen_fds(3)): unix sockets with a path. They are close-on-exec from
/// then on, and the variables leave the environment, whomever they were meant for; none where
/// that is another process. To be called before any thread.
/// @param kinds One without a name is the first of them.
/// @returns `invalid_argument` for what is no such socket, for a name that is none of the kinds,
/// and for two of a kind: the descriptors stay open then.
result<handed_sockets> take_handed(std::span<const handed_kind> kinds);

/// The path at which a unix socket is bound; empty for an abstract one or one without a name.
std::string path_of_socket(int number);

} // namespace gantry::io
