#pragma once

#include <string>
#include <vector>

#include "io/linux_kernel.hpp"
#include "io/shelf.hpp"

namespace gantry::daemon {

/// One listening unix socket of the daemon.
struct socket_wish {
  io::shelf_key key; ///< Under which it outlives us.
  std::string path;
  int type = 0;              ///< SOCK_STREAM or SOCK_SEQPACKET.
  std::vector<gid_t> groups; ///< Who may connect beside the owner; mode 0660 where there is
                             ///< one at most, 0666 where there are several: the peer's
                             ///< credentials decide then.
};

/// The socket that an earlier life has left on the shelf, if it still stands at its path;
/// else a new one, which is put there. Its mode and group are those of the wish.
result<io::fd> open_listener(io::linux_kernel& k, io::shelf& shelf,
                             std::vector<io::shelf_entry>& shelved, const socket_wish& wish);

/// Lets those with a role through the state directory, which is ours alone otherwise.
result<void> open_way(const std::string& state_dir, const std::vector<gid_t>& groups);

} // namespace gantry::daemon
