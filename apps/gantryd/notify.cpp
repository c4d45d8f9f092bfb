#include "notify.hpp"

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace gantry::daemon {

void notify(std::string_view state) noexcept {
  const char* path = std::getenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): one thread
  if (path == nullptr || (path[0] != '/' && path[0] != '@'))
    return;
  sockaddr_un to{};
  const auto length = std::strlen(path);
  if (length >= sizeof(to.sun_path))
    return;
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, path, length);
  if (path[0] == '@')
    to.sun_path[0] = '\0'; // An abstract name.
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return;
  // A service manager that does not listen must not stop us: the result is of no use.
  (void)::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&to),
                 socklen_t(offsetof(sockaddr_un, sun_path) + length));
  ::close(fd);
}

std::chrono::microseconds watchdog_interval() noexcept {
  const char* text = std::getenv("WATCHDOG_USEC"); // NOLINT(concurrency-mt-unsafe): one thread
  if (text == nullptr)
    return std::chrono::microseconds::zero();
  int64_t whole = 0;
  const auto* end = text + std::strlen(text);
  const auto parsed = std::from_chars(text, end, whole);
  if (parsed.ec != std::errc{} || parsed.ptr != end || whole < 2)
    return std::chrono::microseconds::zero();
  return std::chrono::microseconds(whole / 2);
}

} // namespace gantry::daemon
