#include "io/handed.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace gantry::io {

namespace {

constexpr int first_number = 3; // SD_LISTEN_FDS_START

/// A variable of the environment, which loses it.
std::string take_variable(const char* name) {
  const char* text = std::getenv(name); // NOLINT(concurrency-mt-unsafe): one thread yet
  std::string out = text != nullptr ? text : "";
  ::unsetenv(name); // NOLINT(concurrency-mt-unsafe): as above
  return out;
}

bool read_number(const std::string& text, int& out) {
  const auto* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, out);
  return read.ec == std::errc{} && read.ptr == end && out >= 0;
}

/// The parts between colons, as many as there are descriptors where they have no names.
std::vector<std::string> names_in(const std::string& text, size_t count) {
  if (text.empty())
    return std::vector<std::string>(count);
  std::vector<std::string> out{""};
  for (const char c : text)
    if (c == ':')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

std::string known_names(std::span<const handed_kind> kinds) {
  std::string out;
  for (const auto& kind : kinds)
    out.append(out.empty() ? "" : ", ").append(kind.name);
  return out;
}

int option_of(int number, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  return ::getsockopt(number, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

/// What is wrong with the descriptor; nothing where it is what the kind says.
std::string trouble_with(int number, const handed_kind& kind) {
  struct stat seen{};
  if (::fstat(number, &seen) != 0)
    return "is not open";
  if (!S_ISSOCK(seen.st_mode))
    return "is no socket";
  if (option_of(number, SO_DOMAIN) != AF_UNIX)
    return "is no unix socket";
  if (option_of(number, SO_TYPE) != kind.type)
    return kind.type == SOCK_STREAM ? "is no stream socket" : "is no sequential-packet socket";
  if (option_of(number, SO_ACCEPTCONN) != 1)
    return "does not listen";
  if (path_of_socket(number).empty())
    return "has no path, and so nobody who owns it";
  return {};
}

const handed_kind* kind_of(const std::string& name, std::span<const handed_kind> kinds) {
  // What a manager says that has no name, or only that of its unit.
  if (name.empty() || name == "unknown" || name == std::string(kinds[0].name) + ".socket")
    return &kinds[0];
  const auto at = std::find_if(kinds.begin(), kinds.end(),
                               [&name](const auto& kind) { return kind.name == name; });
  return at != kinds.end() ? &*at : nullptr;
}

error refused(const std::string& what, std::string cure) {
  return {ec::invalid_argument, what, std::move(cure)};
}

} // namespace

std::string path_of_socket(int number) {
  sockaddr_un at{};
  socklen_t length = sizeof(at);
  if (::getsockname(number, reinterpret_cast<sockaddr*>(&at), &length) != 0
      || at.sun_family != AF_UNIX || length <= offsetof(sockaddr_un, sun_path))
    return {};
  const auto most = length - offsetof(sockaddr_un, sun_path);
  return {at.sun_path, ::strnlen(at.sun_path, most)};
}

result<handed_sockets> take_handed(std::span<const handed_kind> kinds) {
  const auto whose = take_variable("LISTEN_PID");
  const auto many = take_variable("LISTEN_FDS");
  const auto text = take_variable("LISTEN_FDNAMES");
  int pid = 0;
  int count = 0;
  if (!read_number(whose, pid) || pid != ::getpid())
    return handed_sockets{};
  const auto all = known_names(kinds);
  if (!read_number(many, count))
    return refused("LISTEN_FDS is \"" + many + "\", and no number of sockets",
                   "start gantryd by a manager that does as sd_listen_fds(3) says");
  if (size_t(count) > kinds.size())
    return refused(many + " sockets were handed over, and gantryd takes "
                     + std::to_string(kinds.size()),
                   "hand over one of each at most: " + all);
  const auto names = names_in(text, size_t(count));
  if (names.size() != size_t(count) && count > 0)
    return refused("LISTEN_FDNAMES \"" + text + "\" names " + std::to_string(names.size())
                     + " sockets, and LISTEN_FDS says " + many,
                   "name each of them once, or none");
  handed_sockets out;
  for (int i = 0; i < count; ++i) {
    const auto& name = names[size_t(i)];
    const int number = first_number + i;
    const auto what = "the socket \"" + name + "\" that was handed over as descriptor "
                      + std::to_string(number);
    const auto* kind = kind_of(name, kinds);
    if (kind == nullptr)
      return refused(what + ": gantryd has no use for this name",
                     "set FileDescriptorName= to one of these: " + all);
    if (out.marks.find(kind->mark) != std::string::npos)
      return refused(what + ": another one is \"" + std::string(kind->name) + "\" already",
                     "hand over one of each at most: " + all);
    if (const auto trouble = trouble_with(number, *kind); !trouble.empty())
      return refused(what + " " + trouble,
                     std::string("use ")
                       + (kind->type == SOCK_STREAM ? "ListenStream=" : "ListenSequentialPacket=")
                       + " with an absolute path, and Accept=no");
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0)
      return from_errno(errno, "take", what);
    out.fds.push_back(number);
    out.marks += kind->mark;
  }
  return out;
}

} // namespace gantry::io
