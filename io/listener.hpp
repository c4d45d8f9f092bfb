#pragma once

#include <string>
#include <sys/types.h>

#include "io/shelf.hpp"

namespace gantry::io {

/// The listening unix socket at `path`, mode `mode`: the one on the shelf if it still stands
/// there, so that a client that connects while we are away waits and is not refused; else a
/// new one, which is put on the shelf. For who holds the state's lock: a socket that was left
/// at `path` is taken away. The process's umask is not touched.
/// @returns `already_exists` where something else than a socket is at `path`.
result<fd> listen_unix(kernel& k, shelf& keeper, const shelf_key& key, const std::string& path,
                       mode_t mode = 0660);

/// Whether `listen_loopback` would take this address.
bool is_loopback(const std::string& address) noexcept;

/// A listening TCP socket on this host alone: "127.0.0.1:9090" or "[::1]:9090". Any other
/// address is refused. As above, the one on the shelf if it has this address: after a kill the
/// ring of the dead process may hold its listener, and the address, for a while.
result<fd> listen_loopback(kernel& k, shelf& keeper, const shelf_key& key,
                           const std::string& address);

} // namespace gantry::io
