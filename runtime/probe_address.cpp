#include "runtime/probe_address.hpp"

#include <arpa/inet.h>
#include <cstring>

#include "messages/check.hpp"
#include "messages/unix_address.hpp"

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
  const auto un = unix_address_of(path);
  GANTRY_CHECK(un);
  out.size = un->size;
  std::memcpy(&out.where, un->get(), un->size);
  out.text = shown;
  return out;
}

} // namespace gantry::runtime
