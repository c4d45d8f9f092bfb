#pragma once

#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/types.h>
#include <vector>

#include "io/shelf.hpp"

namespace gantry::io {

/// One listening unix socket.
struct unix_place {
  shelf_key key; ///< Under which it outlives us.
  std::string path;
  int type = SOCK_STREAM;     ///< Or SOCK_SEQPACKET.
  mode_t mode = 0660;
  std::optional<gid_t> group = {}; ///< Nothing: that of the process.
  char mark = 0; ///< Of a socket that was handed over for this place; 0: none can be.
};

/// The listening socket at `place`: one that was handed over for it (io/handed.hpp), or the one
/// on the shelf if it still stands there, so that a client that connects while we are away waits
/// and is not refused; else a new one, which is put on the shelf. In each case it has the mode
/// and the group of the place. For who holds the state's lock: a socket that was left at the path
/// is taken away. The process's umask is not touched.
/// @param shelved What lay on the shelf at the start; a socket that is used leaves it.
/// @returns `already_exists` where something else than a socket is at the path.
result<fd> listen_unix(kernel& k, shelf& keeper, std::vector<shelf_entry>& shelved,
                       const unix_place& place);

/// Whether `listen_loopback` would take this address.
bool is_loopback(const std::string& address) noexcept;

/// A listening TCP socket on this host alone: "127.0.0.1:9090" or "[::1]:9090". Any other
/// address is refused. As above, the one on the shelf if it has this address: after a kill the
/// ring of the dead process may hold its listener, and the address, for a while.
result<fd> listen_loopback(kernel& k, shelf& keeper, std::vector<shelf_entry>& shelved,
                           const shelf_key& key, const std::string& address);

} // namespace gantry::io
