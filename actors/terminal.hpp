#pragma once

#include <optional>

#include "actors/stdio.hpp"

namespace gantry::actors {

// Terminals. The runtime makes one in the container and sends its master over a socket that
// we name (--console-socket). The socket listens from the shelf: what is sent while we are
// dead waits there. The master goes on the shelf as soon as it is taken.

/// Makes the socket and lays it on the shelf: all that a new process's streams are until the
/// runtime has answered. Errors name its path.
result<new_streams> make_console(services& host, const process_names& who);

/// Takes the master that the runtime has sent, lays it on the shelf and begins the log.
/// Call when the runtime has answered: the master was sent before that.
/// The size is the one that the records know, whatever the runtime did about it.
result<process_streams> take_terminal(services& host, const process_names& who,
                                      console_socket console, const v1::LogOptions& log);

/// The same for a process that was made in an earlier life: its master lies on the shelf, or
/// waits in the socket that does.
result<process_streams> take_terminal_again(services& host, const process_names& who,
                                            const v1::LogOptions& log);

/// The streams of a terminal that lay on the shelf, from its master.
process_streams adopt_terminal(services& host, const process_names& who, io::fd master,
                               const v1::LogOptions& log);

/// Takes the socket away. Harmless where there is none.
void close_console(services& host, uint64_t serial);

/// Whether a shelf entry of streams is a terminal's.
bool is_terminal(const io::shelf_entry& entry) noexcept;

} // namespace gantry::actors
