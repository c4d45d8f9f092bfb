#include "gateways/bus/peer.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

namespace gantry::bus {

namespace {

bool one_of(const std::vector<gid_t>& groups, const peer& who) {
  return std::any_of(groups.begin(), groups.end(), [&who](gid_t g) {
    return g == who.by.gid()
           || std::find(who.groups.begin(), who.groups.end(), g) != who.groups.end();
  });
}

/// The kernel says how many there are when there is too little room.
std::vector<gid_t> groups_of(int fd) {
  std::vector<gid_t> out(16);
  for (int tries = 0; tries < 2; ++tries) {
    auto size = socklen_t(out.size() * sizeof(gid_t));
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out.data(), &size) == 0) {
      out.resize(size / sizeof(gid_t));
      return out;
    }
    if (errno != ERANGE)
      break;
    out.resize(size / sizeof(gid_t));
  }
  return {};
}

} // namespace

std::optional<peer> peer_of(int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || size != sizeof who)
    return std::nullopt;
  peer out;
  out.by.set_uid(who.uid);
  out.by.set_gid(who.gid);
  out.by.set_pid(who.pid);
  out.groups = groups_of(fd);
  return out;
}

role role_of(const role_policy& policy, const peer& who) {
  if (who.by.uid() == 0 || who.by.uid() == ::geteuid() || one_of(policy.operate_groups, who))
    return role::operate;
  return one_of(policy.read_groups, who) ? role::read : role::none;
}

result<void> check_right(role has, right needed, const v1::By& by, std::string_view method) {
  if (has == role::operate || (has == role::read && needed == right::read))
    return {};
  const auto user = "user " + std::to_string(by.uid()) + ", group " + std::to_string(by.gid());
  const auto asked = std::string(method);
  if (has == role::none)
    return error{ec::permission_denied, user + " has no role here: " + asked + " is refused",
                 "join a group that gantryd's --read-gid or --operate-gid names, or run as root"};
  return error{ec::permission_denied, user + " may look, and not operate: " + asked + " is refused",
               "join a group that gantryd's --operate-gid names, or run as root"};
}

} // namespace gantry::bus
