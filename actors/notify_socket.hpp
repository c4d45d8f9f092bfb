#pragma once

#include "actors/services.hpp"

// The socket at which a container tells how it is. It lies in a directory of its own
// (STATE/notify/SERIAL, by the serial of init), which is mounted into the container, and on the
// keeper's shelf: what is said while no gantryd lives waits in it.

namespace gantry::actors {

std::string notify_dir(const services& host, uint64_t serial);

/// Makes it, in the place of an earlier run's and all that waits in that, and lays it on the
/// shelf.
result<io::fd> make_notify_socket(services& host, uint64_t serial);

/// That of an earlier life; none where it was lost with the keeper.
io::fd adopt_notify_socket(services& host, uint64_t serial);

/// Takes it away. Harmless where there is none.
void close_notify_socket(services& host, uint64_t serial);

/// Takes those away that nobody has. @param serials Of all processes that the records know.
void sweep_notify_sockets(services& host, const std::set<uint64_t>& serials);

} // namespace gantry::actors
