#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// What a container says at its notify socket: lines FIELD=VALUE, as sd_notify(3) has them.
// It is a stranger's text: what is not understood is counted and has no other effect.

namespace gantry::runtime {

/// A longer datagram is no message.
inline constexpr size_t max_notify_bytes = 4096;
/// So much of a STATUS= is kept.
inline constexpr size_t max_notify_status = 512;
/// No watchdog can be shorter than this.
inline constexpr int64_t least_watchdog_ns = 100'000'000;

/// One datagram.
struct notify_message {
  bool ready = false;     ///< READY=1
  bool reloading = false; ///< RELOADING=1
  bool stopping = false;  ///< STOPPING=1
  bool watchdog = false;  ///< WATCHDOG=1
  bool trigger = false;   ///< WATCHDOG=trigger: it calls itself ill.
  std::optional<std::string> status;   ///< STATUS=, as UTF-8; it may be empty.
  std::optional<int64_t> watchdog_ns;  ///< WATCHDOG_USEC=; 0: no watchdog any more.
  std::optional<int64_t> extend_ns;    ///< EXTEND_TIMEOUT_USEC=
  uint32_t ignored = 0; ///< Lines that are no field, have no good value, or mean nothing here.
  bool operator==(const notify_message&) const = default;
};

/// Total: any bytes give a message. Of a field that comes twice the last one counts.
notify_message parse_notify(std::string_view datagram);

} // namespace gantry::runtime
