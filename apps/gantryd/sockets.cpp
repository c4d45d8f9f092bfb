#include "sockets.hpp"

#include <cerrno>
#include <sys/stat.h>

namespace gantry::daemon {

io::unix_place place_for(const io::shelf_key& key, const std::string& path, int type,
                         const std::vector<gid_t>& groups) {
  io::unix_place out{.key = key, .path = path, .type = type};
  out.mode = groups.size() > 1 ? 0666 : 0660;
  if (groups.size() == 1)
    out.group = groups[0];
  return out;
}

result<void> open_way(const std::string& state_dir, const std::vector<gid_t>& groups) {
  struct stat seen{};
  if (::stat(state_dir.c_str(), &seen) != 0)
    return from_errno(errno, "look at", state_dir);
  const auto mode = (seen.st_mode & 07777) | (groups.empty() ? 0 : 0011);
  if (mode != (seen.st_mode & 07777) && ::chmod(state_dir.c_str(), mode) != 0)
    return from_errno(errno, "let the groups of the roles into", state_dir);
  return {};
}

} // namespace gantry::daemon
