#pragma once

#include <span>
#include <string_view>

#include "gateways/bus/peer.hpp"

namespace gantry::bus {

class grpc_call;

/// One method of the bus.
struct method {
  std::string_view path; ///< As it stands in `:path`: /package.Service/Method.
  right needs;
  void (*run)(grpc_call& call, std::string_view request); ///< `request` dies with the return.
  /// Instead of `run`, where the client sends many messages: gives the call its sink.
  void (*open)(grpc_call& call) = nullptr;
};

/// Every method, in no special order.
std::span<const method> all_methods() noexcept;

/// The method with this path, or nullptr.
const method* find_method(std::string_view path) noexcept;

} // namespace gantry::bus
