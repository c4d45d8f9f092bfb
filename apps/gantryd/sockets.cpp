#include "sockets.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.hpp"

namespace gantry::daemon {

namespace {

constexpr io::handed_kind kinds[] = {{"gantry", bus_mark, SOCK_STREAM},
                                     {"fds", fds_mark, SOCK_SEQPACKET},
                                     {"metrics", metrics_mark, SOCK_STREAM}};

/// What an administrator says where this socket is to be.
struct wanted_place {
  const std::string& path;
  const char* option;
};

wanted_place place_of(char mark, const daemon_options& o) {
  switch (mark) {
  case fds_mark:
    return {o.fds_socket, "--socket, which it stands beside,"};
  case metrics_mark:
    return {o.metrics.socket, "--state"};
  default:
    return {o.socket, "--socket"};
  }
}

result<void> check_place(int number, const wanted_place& wanted) {
  const auto path = io::path_of_socket(number);
  if (path != wanted.path)
    return error{ec::invalid_argument,
                 "the socket that was handed over stands at " + path + ", and gantryd listens at "
                   + wanted.path,
                 std::string("let the socket's unit and ") + wanted.option + " say the same"};
  struct stat seen{};
  if (::lstat(path.c_str(), &seen) != 0)
    return from_errno(errno, "look at the socket that was handed over,", path);
  if (!S_ISSOCK(seen.st_mode))
    return error{ec::invalid_argument, path + ", which was handed over, is no socket any more",
                 "restart the socket's unit"};
  if (seen.st_uid != 0 && seen.st_uid != ::geteuid())
    return error{ec::permission_denied,
                 "the socket that was handed over, " + path + ", belongs to user "
                   + std::to_string(seen.st_uid),
                 "SocketUser= must be root, or who runs gantryd"};
  return {};
}

} // namespace

result<io::handed_sockets> take_handed_sockets(const daemon_options& options) {
  auto out = io::take_handed(kinds);
  for (size_t i = 0; out && i < out->fds.size(); ++i)
    if (auto right = check_place(out->fds[i], place_of(out->marks[i], options)); !right)
      return std::move(right).why();
  return out;
}

io::unix_place place_for(const io::shelf_key& key, const std::string& path, int type,
                         const std::vector<gid_t>& groups, char mark) {
  io::unix_place out{.key = key, .path = path, .type = type};
  out.mark = mark;
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
