#pragma once

#include <cstring>
#include <optional>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>

namespace gantry {

/// Where a unix socket is, as the kernel wants it.
struct unix_address {
  sockaddr_un at{};

  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&at);
  }
  static constexpr socklen_t size = sizeof(sockaddr_un);
};

/// @returns nothing for a path of more than 107 bytes: none longer fits.
inline std::optional<unix_address> unix_address_of(std::string_view path) noexcept {
  unix_address out;
  if (path.size() >= sizeof(out.at.sun_path))
    return {};
  out.at.sun_family = AF_UNIX;
  std::memcpy(out.at.sun_path, path.data(), path.size());
  return out;
}

} // namespace gantry
