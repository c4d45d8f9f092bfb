#pragma once

#include <string>
#include <string_view>
#include <sys/socket.h>

#include "runtime/health_policy.hpp"

namespace gantry::runtime {

/// Where a probe connects.
struct network_address {
  sockaddr_storage where{};
  socklen_t size = 0;
  std::string text; ///< For people: `127.0.0.1:80`, `[::1]:80`, `/run/app.sock`.
};

/// @param q With an address and a port, checked.
network_address ip_address(const probe_question& q);

/// @param path What the kernel is told; shorter than 108 bytes.
/// @param shown What people are.
network_address unix_address(std::string_view path, std::string_view shown);

} // namespace gantry::runtime
