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

#include "io/launch.hpp"
#include "io/log.hpp"
#include "messages/unix_address.hpp"

namespace gantry::io {

namespace {

constexpr int backlog = 1024;

/// Whether the listener still stands at this path.
bool listens_at(int number, const std::string& path) {
  sockaddr_un at{};
  socklen_t length = sizeof(at);
  struct stat seen{};
  return ::getsockname(number, reinterpret_cast<sockaddr*>(&at), &length) == 0
         && path == at.sun_path && ::stat(path.c_str(), &seen) == 0;
}

result<void> clear_place(const std::string& path) {
  if (!unix_address_of(path))
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

/// The group and the mode of the socket at a place, and of nothing that was put there instead.
result<void> set_access(kernel& k, const unix_place& place) {
  const fd there{k, ::open(place.path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  struct stat seen{};
  if (!there || ::fstat(there.get(), &seen) != 0)
    return from_errno(errno, "look at", place.path);
  if (!S_ISSOCK(seen.st_mode))
    return error{ec::already_exists, place.path + " was taken by something that is no socket",
                 "name a socket in a directory that is gantry's alone"};
  const gid_t group = place.group.value_or(::getegid());
  if (::fchownat(there.get(), "", uid_t(-1), group, AT_EMPTY_PATH) != 0)
    return from_errno(errno, "give to group " + std::to_string(group), place.path);
  if (::chmod(("/proc/self/fd/" + std::to_string(there.get())).c_str(), place.mode) != 0)
    return from_errno(errno, "set the mode of", place.path);
  return {};
}

result<fd> listen_anew(kernel& k, shelf& keeper, const unix_place& place) {
  if (auto clear = clear_place(place.path); !clear)
    return std::move(clear).why();
  fd out{k, ::socket(AF_UNIX, place.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!out)
    return from_errno(errno, "make a socket for", place.path);
  // The mode of an unbound socket is that of the file which bind makes, less the umask: it
  // has no more than this from its first moment. Then the rest, whatever the umask is.
  const auto address = unix_address_of(place.path);
  if (!address)
    return from_errno(ENAMETOOLONG, "bind the socket to", place.path);
  if (::fchmod(out.get(), place.mode) != 0
      || ::bind(out.get(), address->get(), address->size) != 0)
    return from_errno(errno, "bind the socket to", place.path);
  if (::listen(out.get(), backlog) != 0)
    return from_errno(errno, "listen on", place.path);
  const int fds[] = {out.get()};
  if (auto put = keeper.put(place.key, {}, fds); !put)
    return std::move(put).why();
  return out;
}

/// The socket that was handed over for this place. Its owner may have it block.
fd handed_for(std::vector<shelf_entry>& shelved, const unix_place& place) {
  for (auto& e : shelved)
    for (size_t i = 0; e.key == shelf_key{shelf_handed, 0} && i < e.fds.size(); ++i) {
      if (place.mark == 0 || e.note[i] != place.mark)
        continue;
      if (listens_at(e.fds[i].get(), place.path)
          && ::fcntl(e.fds[i].get(), F_SETFL, O_RDWR | O_NONBLOCK) == 0)
        return std::move(e.fds[i]);
      log_warn("the socket that was handed over does not stand at {} any more: another is made",
               place.path);
    }
  return {};
}

/// The socket on the shelf under `key` of which `fits` is true, or none.
template <class F>
fd take_from(std::vector<shelf_entry>& shelved, const shelf_key& key, F fits) {
  for (auto& e : shelved)
    if (e.key == key && e.fds.size() == 1 && fits(e.fds[0].get()))
      return std::move(e.fds[0]);
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

result<fd> listen_loopback(kernel& k, shelf& keeper, std::vector<shelf_entry>& shelved,
                           const shelf_key& key, const std::string& address) {
  sockaddr_storage at{};
  socklen_t size = 0;
  if (!parse_loopback(address, at, size))
    return error{ec::invalid_argument, "\"" + address + "\" is no address of the loopback network",
                 "use 127.0.0.1:PORT or [::1]:PORT; who comes from elsewhere is a proxy's matter"};
  if (auto kept = take_from(shelved, key,
                            [&](int number) { return is_bound_to(number, at, size); }))
    return kept;
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

result<fd> listen_unix(kernel& k, shelf& keeper, std::vector<shelf_entry>& shelved,
                       const unix_place& place) {
  auto out = handed_for(shelved, place);
  if (out) { // One of our own, of a life before, is of no use any more.
    if (auto dropped = keeper.drop(place.key); !dropped)
      return std::move(dropped).why();
  } else {
    out = take_from(shelved, place.key,
                    [&place](int number) { return listens_at(number, place.path); });
  }
  if (!out) {
    auto made = listen_anew(k, keeper, place);
    if (!made)
      return made;
    out = std::move(*made);
  }
  if (auto set = set_access(k, place); !set)
    return std::move(set).why();
  return out;
}

} // namespace gantry::io
