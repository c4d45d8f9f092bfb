#include "apps/keeper/protocol.hpp"

#include <csignal>
#include <cstddef>
#include <cstring>

namespace gantry::keeper {

using wire::refusal;
using wire::word;

namespace {

/// The part that both sockets share: is it a message of our version at all.
verdict read(const io::keeper_packet& x) noexcept {
  verdict out;
  out.what = x.what;
  if (x.size < static_cast<ssize_t>(offsetof(wire::message, value)) || x.what.magic != wire::magic)
    return out;
  if (x.what.version != wire::version)
    out.why = refusal::version;
  else
    out.ok = x.size >= static_cast<ssize_t>(sizeof(x.what));
  return out;
}

verdict refuse(verdict v, refusal why) noexcept {
  v.ok = false;
  v.why = why;
  return v;
}

bool is_variable(const char* text, const char* name) noexcept {
  auto length = std::strlen(name);
  return std::strncmp(text, name, length) == 0 && text[length] == '=';
}

} // namespace

verdict judge(const io::keeper_packet& packet) noexcept {
  auto v = read(packet);
  const bool bare = packet.count == 0 && !packet.cut;
  if (!v.ok)
    return v;
  if (packet.size != sizeof(wire::message))
    return refuse(v, refusal::malformed);
  switch (v.what.what) {
  case word::put:
    if (packet.cut)
      return refuse(v, refusal::fds_lost);
    return packet.count <= wire::max_fds ? v : refuse(v, refusal::malformed);
  case word::farewell:
    return bare && v.what.value <= 1 ? v : refuse(v, refusal::malformed);
  case word::hello:
  case word::ready:
  case word::drop:
  case word::list:
  case word::freed:
    return bare ? v : refuse(v, refusal::malformed);
  default:
    return refuse(v, refusal::malformed);
  }
}

verdict judge_control(const io::keeper_packet& packet) noexcept {
  auto v = read(packet);
  if (!v.ok)
    return v;
  const bool alone = packet.size == sizeof(wire::message);
  if (v.what.what == word::start) {
    if (packet.cut)
      return refuse(v, refusal::fds_lost);
    const bool fits = packet.count >= 3 && packet.count <= wire::max_fds;
    return !alone && fits ? v : refuse(v, refusal::malformed);
  }
  if (v.what.what == word::signal && alone && packet.count == 0 && !packet.cut)
    for (int sig : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGABRT})
      if (v.what.value == static_cast<uint32_t>(sig))
        return v;
  return refuse(v, refusal::malformed);
}

bool take_apart(const wire::message& start, std::span<char> strings, program& out) noexcept {
  if (start.value == 0 || start.value > wire::max_arguments || start.aux > wire::max_variables)
    return false;
  out = {};
  size_t at = 0;
  size_t kept = 0;
  const size_t count = size_t{2} + start.value + start.aux;
  for (size_t i = 0; i < count; ++i) {
    auto* text = strings.data() + at;
    const auto* nul = static_cast<char*>(std::memchr(text, 0, strings.size() - at));
    if (nul == nullptr)
      return false;
    at = static_cast<size_t>(nul - strings.data()) + 1;
    if (i == 0)
      out.path = text;
    else if (i == 1)
      out.directory = text;
    else if (i < 2 + start.value)
      out.arguments[i - 2] = text;
    else if (!is_variable(text, wire::environment))
      out.variables[kept++] = text;
  }
  return at == strings.size() && out.path[0] == '/' && out.directory[0] == '/';
}

bool copy_variables(char* const* from, program& out) noexcept {
  size_t kept = 0;
  for (; *from != nullptr; ++from)
    if (!is_variable(*from, wire::environment)) {
      if (kept == wire::max_variables)
        return false;
      out.variables[kept++] = *from;
    }
  out.variables[kept] = nullptr;
  return true;
}

} // namespace gantry::keeper
