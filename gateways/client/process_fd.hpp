#pragma once

#include "gateways/client/channel.hpp"
#include "messages/gantry.pb.h"

namespace gantry::client {

/// Fetches a pidfd of a living process: a ticket over the channel, the descriptor over
/// fds.sock. A ticket that a restart of gantryd has made worthless is asked for again.
/// @returns A descriptor that the caller owns, close-on-exec; readable once the process has
///   ended, whatever becomes of gantryd.
result<int> fetch_process_fd(channel& to, const v1::GetProcessFdRequest& which);

/// The second half: presents a ticket at `socket`. Waits at most five seconds.
result<int> present_ticket(const std::string& socket, const std::string& ticket);

} // namespace gantry::client
