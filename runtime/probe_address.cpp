#include "runtime/probe_address.hpp"

#include <arpa/inet.h>
#include <cstring>
#include <sys/un.h>

#include "messages/check.hpp"

namespace gantry::runtime {

network_address ip_address(const probe_question& q) {
  network_address out;
  sockaddr_in four{};
  sockaddr_in6 six{};
  const auto port = htons(static_cast<uint16_t>(q.port));
  if (inet_pton(AF_INET, q.address.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = port;
    out.size = sizeof(four);
    std::memcpy(&out.where, &four, sizeof(four));
    out.text = q.address + ":" + std::to_string(q.port);
    return out;
  }
  GANTRY_CHECK(inet_pton(AF_INET6, q.address.c_str(), &six.sin6_addr) == 1);
  six.sin6_family = AF_INET6;
  six.sin6_port = port;
  out.size = sizeof(six);
  std::memcpy(&out.where, &six, sizeof(six));
  out.text = "[" + q.address + "]:" + std::to_string(q.port);
  return out;
}

network_address unix_address(std::string_view path, std::string_view shown) {
  network_address out;
  sockaddr_un un{};
  GANTRY_CHECK(path.size() < sizeof(un.sun_path));
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), path.size());
  out.size = sizeof(un);
  std::memcpy(&out.where, &un, sizeof(un));
  out.text = shown;
  return out;
}

} // namespace gantry::runtime
