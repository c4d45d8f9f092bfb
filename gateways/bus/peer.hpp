#pragma once

#include <cstdint>
#include <optional>
#include <sys/types.h>
#include <vector>

#include "messages/gantry.pb.h"

namespace gantry::bus {

/// What a method needs of its caller.
enum class right : uint8_t {
  read,    ///< Looks, changes nothing.
  operate, ///< Changes containers.
};

/// Who may do what: policy, plain data. Whoever can connect at all was let in by the
/// owner, group and mode of the socket.
struct role_policy {
  bool everyone_reads = true;     ///< Who can connect may read.
  bool everyone_operates = true;  ///< Who can connect may operate.
  std::vector<uid_t> readers{};   ///< May read where not everyone may.
  std::vector<uid_t> operators{}; ///< May read and operate where not everyone may.
};

/// Whether `by` may call a method that needs `needed`. Root and the supervisor's own user
/// may do everything.
bool allowed(const role_policy& policy, const v1::By& by, right needed);

/// Who is at the other end of a connected unix socket, as of its connect(2) (SO_PEERCRED);
/// nothing for another kind of socket.
std::optional<v1::By> peer_of(int fd);

} // namespace gantry::bus
