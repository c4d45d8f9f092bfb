#include "sockets.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace gantry::daemon {

namespace {

constexpr int backlog = 1024;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  path.copy(out.sun_path, sizeof(out.sun_path) - 1);
  return out;
}

/// Whether the listener still stands at this path.
bool listens_at(int fd, const std::string& path) {
  sockaddr_un at{};
  socklen_t length = sizeof(at);
  struct stat seen{};
  return ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length) == 0
         && path == at.sun_path && ::stat(path.c_str(), &seen) == 0;
}

result<void> set_access(const socket_wish& w) {
  const gid_t group = w.groups.size() == 1 ? w.groups[0] : ::getegid();
  if (::chown(w.path.c_str(), uid_t(-1), group) != 0)
    return from_errno(errno, "give to group " + std::to_string(group), w.path);
  if (::chmod(w.path.c_str(), w.groups.size() > 1 ? 0666 : 0660) != 0)
    return from_errno(errno, "set the mode of", w.path);
  return {};
}

result<io::fd> make_listener(io::linux_kernel& k, io::shelf& shelf, const socket_wish& w) {
  io::fd out{k, ::socket(AF_UNIX, w.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!out)
    return from_errno(errno, "make a socket for", w.path);
  struct stat seen{};
  if (::lstat(w.path.c_str(), &seen) == 0) {
    if (!S_ISSOCK(seen.st_mode))
      return error{ec::already_exists, w.path + " exists and is not a socket",
                   "remove it, or name another path with --socket"};
    ::unlink(w.path.c_str()); // We hold the state's lock: it is a leftover.
  }
  const auto address = address_of(w.path);
  const auto old = ::umask(0117); // 0660 from its first moment.
  const int bound = ::bind(out.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int why = errno;
  ::umask(old);
  if (bound != 0)
    return from_errno(why, "bind a socket to", w.path);
  if (::listen(out.get(), backlog) != 0)
    return from_errno(errno, "listen on", w.path);
  const int fds[] = {out.get()};
  if (auto put = shelf.put(w.key, {}, fds); !put)
    return std::move(put).why();
  return out;
}

} // namespace

result<io::fd> open_listener(io::linux_kernel& k, io::shelf& shelf,
                             std::vector<io::shelf_entry>& shelved, const socket_wish& wish) {
  io::fd out;
  for (auto& e : shelved)
    if (e.key == wish.key && e.fds.size() == 1 && listens_at(e.fds[0].get(), wish.path))
      out = std::move(e.fds[0]);
  if (!out) {
    auto made = make_listener(k, shelf, wish);
    if (!made)
      return made;
    out = std::move(*made);
  }
  if (auto set = set_access(wish); !set)
    return std::move(set).why();
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
