#include "io/listener.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace gantry::io {

namespace {

constexpr int backlog = 1024;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  path.copy(out.sun_path, sizeof(out.sun_path) - 1);
  return out;
}

/// Whether the listener still stands at this path.
bool listens_at(int number, const std::string& path) {
  sockaddr_un at{};
  socklen_t length = sizeof(at);
  struct stat seen{};
  return ::getsockname(number, reinterpret_cast<sockaddr*>(&at), &length) == 0
         && path == at.sun_path && ::stat(path.c_str(), &seen) == 0;
}

result<void> clear_place(const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return error{ec::invalid_argument, "the socket's path is too long: " + path,
                 "at most 107 bytes: use a shorter one"};
  struct stat seen{};
  if (::lstat(path.c_str(), &seen) != 0)
    return {};
  if (!S_ISSOCK(seen.st_mode))
    return error{ec::already_exists, path + " exists and is not a socket",
                 "remove it, or name another path for the socket"};
  ::unlink(path.c_str());
  return {};
}

/// The mode of the socket at `path`, and of nothing that was put there instead.
result<void> set_mode(kernel& k, const std::string& path, mode_t mode) {
  const fd there{k, ::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  struct stat seen{};
  if (!there || ::fstat(there.get(), &seen) != 0)
    return from_errno(errno, "look at", path);
  if (!S_ISSOCK(seen.st_mode))
    return error{ec::already_exists, path + " was taken by something that is no socket",
                 "name a socket in a directory that is gantry's alone"};
  if (::chmod(("/proc/self/fd/" + std::to_string(there.get())).c_str(), mode) != 0)
    return from_errno(errno, "set the mode of", path);
  return {};
}

/// Takes "ADDRESS:PORT" apart, of the loopback network only.
bool parse_loopback(const std::string& text, sockaddr_storage& out, socklen_t& size) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos)
    return false;
  auto host = text.substr(0, colon);
  uint16_t port = 0;
  const auto* end = text.data() + text.size();
  const auto number = std::from_chars(text.data() + colon + 1, end, port);
  if (number.ec != std::errc{} || number.ptr != end)
    return false;
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  if (host == "[::1]") {
    v6 = {};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    size = sizeof(v6);
    return true;
  }
  v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  size = sizeof(v4);
  return ::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1
         && ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

} // namespace

static bool is_bound_to(int number, const sockaddr_storage& wanted, socklen_t size) {
  sockaddr_storage at{};
  socklen_t length = sizeof(at);
  return ::getsockname(number, reinterpret_cast<sockaddr*>(&at), &length) == 0 && length == size
         && std::memcmp(&at, &wanted, size) == 0;
}

bool is_loopback(const std::string& address) noexcept {
  sockaddr_storage at{};
  socklen_t size = 0;
  return parse_loopback(address, at, size);
}

result<fd> listen_loopback(kernel& k, shelf& keeper, const shelf_key& key,
                           const std::string& address) {
  sockaddr_storage at{};
  socklen_t size = 0;
  if (!parse_loopback(address, at, size))
    return error{ec::invalid_argument, "\"" + address + "\" is no address of the loopback network",
                 "use 127.0.0.1:PORT or [::1]:PORT; who comes from elsewhere is a proxy's matter"};
  auto entries = keeper.list();
  if (!entries)
    return std::move(entries).why();
  for (auto& e : *entries)
    if (e.key == key && e.fds.size() == 1 && is_bound_to(e.fds[0].get(), at, size))
      return std::move(e.fds[0]);
  fd out{k, ::socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!out)
    return from_errno(errno, "make a socket for", address);
  const int on = 1;
  ::setsockopt(out.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(out.get(), reinterpret_cast<const sockaddr*>(&at), size) != 0)
    return from_errno(errno, "bind the socket to", address);
  if (::listen(out.get(), backlog) != 0)
    return from_errno(errno, "listen on", address);
  const int fds[] = {out.get()};
  if (auto put = keeper.put(key, {}, fds); !put)
    return std::move(put).why();
  return out;
}

result<fd> listen_unix(kernel& k, shelf& keeper, const shelf_key& key, const std::string& path,
                       mode_t mode) {
  auto entries = keeper.list();
  if (!entries)
    return std::move(entries).why();
  for (auto& e : *entries)
    if (e.key == key && e.fds.size() == 1 && listens_at(e.fds[0].get(), path))
      return std::move(e.fds[0]);
  if (auto clear = clear_place(path); !clear)
    return std::move(clear).why();
  fd out{k, ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!out)
    return from_errno(errno, "make a socket for", path);
  // The mode of an unbound socket is that of the file which bind makes, less the umask: it
  // has no more than this from its first moment. Then the rest, whatever the umask is.
  const auto address = address_of(path);
  if (::fchmod(out.get(), mode) != 0
      || ::bind(out.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return from_errno(errno, "bind the socket to", path);
  if (auto set = set_mode(k, path, mode); !set)
    return std::move(set).why();
  if (::listen(out.get(), backlog) != 0)
    return from_errno(errno, "listen on", path);
  const int fds[] = {out.get()};
  if (auto put = keeper.put(key, {}, fds); !put)
    return std::move(put).why();
  return out;
}

} // namespace gantry::io
