#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "messages/gantry.pb.h"
#include "messages/result.hpp"

namespace gantry::bus {

/// What a method needs of its caller.
enum class right : uint8_t {
  read,    ///< Looks, changes nothing.
  operate, ///< Changes containers; that equals root on this host, as a container can hold it.
};

/// What somebody is to the bus. Each role includes those before it.
enum class role : uint8_t { none, read, operate };

/// Who has which role: policy, plain data. Root and the user whom the daemon runs as operate,
/// whatever stands here; nobody else has a role by default.
struct role_policy {
  std::vector<gid_t> read_groups{};
  std::vector<gid_t> operate_groups{};
};

/// Who is at the other end of a connected unix socket, as of its connect(2).
struct peer {
  v1::By by;                 ///< SO_PEERCRED.
  std::vector<gid_t> groups; ///< The supplementary ones (SO_PEERGROUPS).
};

/// @returns Nothing for another kind of socket.
std::optional<peer> peer_of(int fd);

/// The best role that one of the peer's groups has.
role role_of(const role_policy& policy, const peer& who);

/// An error that names the cure where `has` does not suffice.
/// @param method For the message: what was asked for.
result<void> check_right(role has, right needed, const v1::By& by, std::string_view method);

} // namespace gantry::bus
