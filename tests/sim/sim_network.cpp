#include "tests/sim/sim_network.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "tests/sim/sim_kernel.hpp"

// Connections, and paths beneath a container's root, as probes use them.

namespace gantry::sim {

using namespace std::chrono_literals;

ssize_t stream_socket::read(std::span<char> into) {
  if (broken)
    return -ECONNRESET;
  if (coming.empty())
    return at_end ? 0 : -EAGAIN;
  const auto n = std::min(into.size(), coming.size());
  std::copy_n(coming.data(), n, into.data());
  coming.erase(0, n);
  return ssize_t(n);
}

int incarnation::socket(int) {
  if (!step())
    return -ECANCELED;
  if (fault(host_.options.faults.emfile))
    return -EMFILE;
  auto made = std::make_shared<stream_socket>();
  host_.peers.last = made;
  return install(std::move(made));
}

int incarnation::socket_near(int pidfd, int family, io::errand) {
  if (!step())
    return -ECANCELED;
  const auto h = typed<pid_handle>(pidfd);
  if (!h)
    return -EBADF;
  return h->who()->alive() ? socket(family) : -ESRCH;
}

/// A connect or a send begins.
void incarnation::begin_socket(request& r) {
  const auto s = std::dynamic_pointer_cast<stream_socket>(r.on);
  if (!s)
    return finish(r, -ENOTSOCK, 1us);
  if (r.sqe.opcode == IORING_OP_SEND) {
    if (s->broken)
      return finish(r, -EPIPE, host_.rng.between(1us, 5us));
    const auto n = host_.rng.between(1, r.sqe.len); // Perhaps short.
    s->said.append(reinterpret_cast<const char*>(r.sqe.addr), n);
    answer_later(*s);
    return finish(r, int32_t(n), host_.rng.between(1us, 5us));
  }
  s->fate = host_.peers.next();
  ++host_.peers.connections;
  if (s->fate.connect == -EINPROGRESS) {
    r.at = request::stage::waiting; // Only a cancel ends it.
    return;
  }
  s->connected = s->fate.connect == 0;
  finish(r, s->fate.connect, s->fate.connect_after + host_.rng.between(5us, 80us));
}

void incarnation::answer_later(stream_socket& s) {
  if (std::exchange(s.answered, true))
    return;
  if (s.fate.answer.empty() && !s.fate.closes && !s.fate.resets)
    return;
  host_.time.in(s.fate.answer_after, [weak = s.weak_from_this()] {
    const auto to = weak.lock();
    if (!to)
      return;
    to->coming += to->fate.answer;
    to->at_end = to->fate.closes;
    to->broken = to->fate.resets;
    to->tell();
  });
}

/// A path in a container's root: every container has one and the same here.
int32_t incarnation::open_in_root(const std::string& path, int flags) {
  return open_at(std::string(container_root) + "/" + path, flags, 0, true);
}

int32_t incarnation::stat_effect(const request& r) {
  const std::string_view path = reinterpret_cast<const char*>(r.sqe.addr);
  constexpr std::string_view links = "/proc/self/fd/";
  if (!path.starts_with(links)) // The runtime's program is no file here: it is never copied.
    return -ENOENT;
  const auto file = typed<open_file>(std::atoi(path.substr(links.size()).data()));
  if (!file || !file->file)
    return -ENOENT;
  struct statx out {};
  out.stx_mask = STATX_BASIC_STATS;
  out.stx_mode = file->file->mode;
  out.stx_size = file->file->bytes.size();
  out.stx_mtime.tv_sec = file->file->changed.count() / 1'000'000'000;
  out.stx_mtime.tv_nsec = uint32_t(file->file->changed.count() % 1'000'000'000);
  std::memcpy(reinterpret_cast<void*>(r.sqe.off), &out, sizeof(out));
  return 0;
}

} // namespace gantry::sim
