#include "tests/sim/sim_inbox.hpp"

#include <algorithm>

#include "tests/sim/sim_kernel.hpp"

// Sockets for datagrams: what gantryd does with them, and what the processes of the host do.

namespace gantry::sim {

ssize_t inbox::read(std::span<char> into) {
  if (waiting.empty())
    return -EAGAIN;
  const auto one = std::move(waiting.front());
  waiting.pop_front();
  tell();
  const auto n = std::min(one.bytes.size(), into.size());
  std::copy_n(one.bytes.data(), n, into.data());
  return ssize_t(n); // What does not fit is lost.
}

int machine::send(const std::string& path, std::string bytes, pid_t pid) {
  const auto at = inboxes.find(path);
  if (at == inboxes.end())
    return -ENOENT;
  const auto to = at->second.lock();
  if (!to)
    return -ECONNREFUSED;
  if (to->waiting.size() >= inbox::most)
    return -EAGAIN;
  to->waiting.push_back({std::move(bytes), pid});
  to->tell();
  return 0;
}

int incarnation::datagram_inbox(const std::string& dir, const std::string& name) {
  if (!step())
    return -ECANCELED;
  if (fault(host_.options.faults.emfile))
    return -EMFILE;
  const auto made = std::make_shared<inbox>();
  const int fd = install(made);
  if (fd >= 0) {
    host_.files.mkdirs(dir);
    host_.files.put(dir + "/" + name, "");
    host_.inboxes[dir + "/" + name] = made;
  }
  return fd;
}

ssize_t incarnation::take_datagram(int fd, std::span<char> into, io::datagram_note& note) {
  if (!step())
    return -ECANCELED;
  const auto from = typed<inbox>(fd);
  if (!from)
    return -ENOTSOCK;
  if (from->waiting.empty())
    return -EAGAIN;
  const auto& one = from->waiting.front();
  const auto n = std::min(one.bytes.size(), into.size());
  std::copy_n(one.bytes.data(), n, into.data());
  note = {.pid = one.pid, .cut = n < one.bytes.size()};
  return ssize_t(n);
}

} // namespace gantry::sim
