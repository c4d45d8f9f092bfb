#include "actors/notify_socket.hpp"

#include <cerrno>
#include <cstdlib>

#include "actors/stdio.hpp"
#include "runtime/bundle.hpp"

namespace gantry::actors {

namespace {

std::string all_of(const services& host) { return host.options.state_dir + "/notify"; }

} // namespace

std::string notify_dir(const services& host, uint64_t serial) {
  return all_of(host) + "/" + hex16(serial);
}

result<io::fd> make_notify_socket(services& host, uint64_t serial) {
  auto& sys = host.loop.sys();
  const auto all = all_of(host);
  if (const int n = sys.mkdir(all, 0700); n < 0 && n != -EEXIST)
    return from_errno(-n, "make the directory", all);
  const auto dir = notify_dir(host, serial);
  const int n = sys.datagram_inbox(dir, std::string{runtime::notify_name});
  if (n == -ENAMETOOLONG)
    return error{ec::invalid_argument,
                 "the path of the notify socket is longer than 107 bytes: " + dir,
                 "give gantryd a shorter --state directory"};
  if (n < 0)
    return from_errno(-n, "make the notify socket in", dir);
  io::fd out{sys, n};
  const int fds[] = {n};
  if (auto put = host.keeper.put({shelf_notify, serial}, {}, fds); lost(put))
    return std::move(put).why();
  return out;
}

io::fd adopt_notify_socket(services& host, uint64_t serial) {
  io::fd out;
  if (const auto at = host.shelved_notify.find(serial); at != host.shelved_notify.end()) {
    if (!at->second.fds.empty())
      out = std::move(at->second.fds.front());
    host.shelved_notify.erase(at);
  }
  return out;
}

void close_notify_socket(services& host, uint64_t serial) {
  auto& sys = host.loop.sys();
  drop_kind(host, shelf_notify, serial);
  const auto dir = notify_dir(host, serial);
  sys.unlink(dir + "/" + std::string{runtime::notify_name});
  sys.rmdir(dir);
}

void sweep_notify_sockets(services& host, const std::set<uint64_t>& serials) {
  std::vector<std::string> names;
  if (host.loop.sys().list(all_of(host), names) < 0)
    return;
  for (const auto& n : names)
    if (const auto serial = std::strtoull(n.c_str(), nullptr, 16);
        !serials.contains(serial))
      close_notify_socket(host, serial);
}

} // namespace gantry::actors
