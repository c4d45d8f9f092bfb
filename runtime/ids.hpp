#pragma once

#include <string>
#include <string_view>

#include "messages/gantry.pb.h"
#include "messages/result.hpp"

namespace gantry::runtime {

/// A container's full name. An empty namespace has become "default".
struct container_name {
  std::string ns;
  std::string id;
  auto operator<=>(const container_name&) const = default;
};

/// Checks a reference from outside: [A-Za-z0-9][A-Za-z0-9_.-]{0,127} for the id,
/// [A-Za-z0-9][A-Za-z0-9_-]{0,62} for the namespace.
result<container_name> checked_name(const v1::Ref& ref);

/// Checks a process id from outside (the same characters as a container id).
result<std::string> checked_process(std::string_view id);

/// The name under which the OCI runtime knows the container: `NS.ID`.
std::string runtime_id(const container_name& name);

/// A signal by name or number: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
result<int> parse_signal(std::string_view text);

/// `SIGTERM` for 15; `signal 64` where there is no name.
std::string signal_name(int signal);

/// The id of init.
inline constexpr std::string_view init_id = "init";

} // namespace gantry::runtime
