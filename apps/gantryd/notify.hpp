#pragma once

#include <string_view>

namespace gantry::daemon {

/// Tells the service manager about us (sd_notify(3), protocol of systemd.service(5),
/// Type=notify): one datagram to NOTIFY_SOCKET. Nothing where there is none. Never waits.
void notify(std::string_view state) noexcept;

} // namespace gantry::daemon
