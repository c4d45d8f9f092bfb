#pragma once

#include <chrono>
#include <string_view>

namespace gantry::daemon {

/// Tells the service manager about us (sd_notify(3), protocol of systemd.service(5),
/// Type=notify): one datagram to NOTIFY_SOCKET. Nothing where there is none. Never waits.
void notify(std::string_view state) noexcept;

/// How often the service manager wants to hear WATCHDOG=1 (WATCHDOG_USEC), halved, so that one
/// late word is no death; zero where it does not. WATCHDOG_PID is not asked: the manager's
/// process is our proxy, and with NotifyAccess=all our word counts for it.
std::chrono::microseconds watchdog_interval() noexcept;

} // namespace gantry::daemon
