#include "gateways/bus/peer.hpp"

#include <algorithm>
#include <sys/socket.h>
#include <unistd.h>

namespace gantry::bus {

namespace {

bool holds(const std::vector<uid_t>& users, uid_t uid) {
  return std::find(users.begin(), users.end(), uid) != users.end();
}

} // namespace

bool allowed(const role_policy& policy, const v1::By& by, right needed) {
  const uid_t uid = by.uid();
  if (uid == 0 || uid == ::geteuid())
    return true;
  if (policy.everyone_operates || holds(policy.operators, uid))
    return true;
  return needed == right::read && (policy.everyone_reads || holds(policy.readers, uid));
}

std::optional<v1::By> peer_of(int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || size != sizeof who)
    return std::nullopt;
  v1::By out;
  out.set_uid(who.uid);
  out.set_gid(who.gid);
  out.set_pid(who.pid);
  return out;
}

} // namespace gantry::bus
