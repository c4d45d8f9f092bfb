// The requests: what each submission entry means. An opcode that is not here is a bug of
// whoever submitted it, or work to be done here first.

#include <cstring>
#include <fcntl.h>
#include <linux/openat2.h>

#include "messages/check.hpp"
#include "tests/sim/sim_kernel.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

namespace {

const char* text_at(uint64_t address) { return reinterpret_cast<const char*>(address); }

bool is_socket(uint8_t opcode) {
  return opcode == IORING_OP_CONNECT || opcode == IORING_OP_SEND || opcode == IORING_OP_RECV;
}

bool is_disk(uint8_t opcode) {
  return opcode != IORING_OP_POLL_ADD && opcode != IORING_OP_CLOSE && !is_socket(opcode);
}

/// An openat2 with RESOLVE_IN_ROOT.
bool in_root(uint64_t how) {
  open_how out{};
  std::memcpy(&out, reinterpret_cast<const void*>(how), sizeof(out));
  return (out.resolve & RESOLVE_IN_ROOT) != 0;
}

/// What a name between directories may not do beneath one.
bool leaves(std::string_view path) {
  if (path.starts_with('/'))
    return true;
  int depth = 0;
  while (!path.empty()) {
    const auto part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part == "..")
      --depth;
    else if (!part.empty() && part != ".")
      ++depth;
    if (depth < 0)
      return true;
  }
  return false;
}

} // namespace

void incarnation::work_until(request& r, nanoseconds span) {
  r.at = request::stage::working;
  r.due = host_.time.now() + span;
  if (std::find(working_.begin(), working_.end(), &r) == working_.end())
    working_.push_back(&r);
}

void incarnation::finish(request& r, int32_t res, nanoseconds span) {
  work_until(r, span);
  r.at = request::stage::done;
  r.res = res;
}

void incarnation::begin(request& r) {
  const auto& faults = host_.options.faults;
  const uint8_t op = r.sqe.opcode;
  const bool on_fd = op == IORING_OP_POLL_ADD || op == IORING_OP_READ || op == IORING_OP_WRITE ||
                     op == IORING_OP_FSYNC || op == IORING_OP_FALLOCATE || is_socket(op);
  if (on_fd) {
    r.on = get(r.sqe.fd);
    if (!r.on)
      return finish(r, -EBADF, host_.rng.between(100ns, 2us));
  }
  if (op == IORING_OP_POLL_ADD || op == IORING_OP_RECV)
    return look_again(r);
  if (is_socket(op))
    return begin_socket(r);
  const bool stream = on_fd && !std::dynamic_pointer_cast<open_file>(r.on);
  if (stream && (op == IORING_OP_READ || op == IORING_OP_WRITE))
    return look_again(r);
  r.interrupted = is_disk(op) && fault(faults.interrupted);
  const auto hangs = host_.peers.path_hangs_until - host_.time.now();
  if (op == IORING_OP_OPENAT2 && in_root(r.sqe.off) && hangs > 0ns)
    return work_until(r, hangs);
  if (is_disk(op) && fault(faults.slow_disk))
    return work_until(r, host_.rng.between(50ms, 500ms));
  work_until(r, host_.rng.between(2us, 60us));
}

void incarnation::look_again(request& r) {
  if (dead_ || r.at == request::stage::done || r.at == request::stage::working)
    return;
  uint32_t wanted = POLLERR | POLLHUP;
  if (r.sqe.opcode == IORING_OP_CONNECT)
    return; // It waits for nobody.
  if (r.sqe.opcode == IORING_OP_POLL_ADD)
    wanted |= r.sqe.flags;
  else
    wanted |= r.sqe.opcode == IORING_OP_WRITE ? POLLOUT : POLLIN;
  if (r.on->ready() & wanted) {
    r.stop_listening();
    return work_until(r, host_.rng.between(200ns, 15us));
  }
  r.at = request::stage::waiting;
  std::erase(working_, &r);
  if (auto* s = r.on->changes(); s && !r.listening())
    r.listen_to(*s);
}

void incarnation::perform(request& r) {
  const auto op = r.sqe.opcode;
  int32_t res = 0;
  if (op == IORING_OP_POLL_ADD) {
    res = int32_t(r.on->ready() & (r.sqe.flags | POLLERR | POLLHUP));
    if (res == 0) // The readiness has gone again: keep waiting.
      r.at = request::stage::waiting;
  } else {
    res = r.interrupted ? -EINTR : effect(r);
    if (res == -EAGAIN && r.on && r.on->changes() && !std::dynamic_pointer_cast<open_file>(r.on))
      r.at = request::stage::waiting;
  }
  if (r.at == request::stage::waiting) {
    if (auto* s = r.on->changes())
      r.listen_to(*s);
    return;
  }
  r.at = request::stage::done;
  r.res = res;
}

int32_t incarnation::effect(const request& r) {
  switch (r.sqe.opcode) {
  case IORING_OP_READ:
  case IORING_OP_RECV:
    return read_effect(r);
  case IORING_OP_STATX:
    return stat_effect(r);
  case IORING_OP_WRITE:
    return write_effect(r);
  case IORING_OP_FSYNC:
    return sync_effect();
  case IORING_OP_OPENAT2:
    return open_effect(r);
  case IORING_OP_CLOSE: {
    if (!get(r.sqe.fd))
      return -EBADF;
    fds_[size_t(r.sqe.fd)].reset();
    return 0;
  }
  case IORING_OP_UNLINKAT:
  case IORING_OP_RENAMEAT:
  case IORING_OP_MKDIRAT:
    return path_effect(r);
  case IORING_OP_FALLOCATE:
    return allocate_effect(r);
  default:
    GANTRY_CHECK(!"an opcode that the simulated kernel does not know");
    return -EINVAL;
  }
}

int32_t incarnation::read_effect(const request& r) {
  std::span<char> into(reinterpret_cast<char*>(r.sqe.addr), r.sqe.len);
  auto file = std::dynamic_pointer_cast<open_file>(r.on);
  if (!file)
    return int32_t(r.on->read(into));
  if (into.size() > 1 && fault(host_.options.faults.short_read))
    into = into.first(host_.rng.between(1, into.size() - 1));
  const bool here = r.sqe.off == uint64_t(-1);
  const ssize_t n = file->pread(into, here ? file->position : r.sqe.off);
  if (here && n > 0)
    file->position += uint64_t(n);
  return int32_t(n);
}

int32_t incarnation::write_effect(const request& r) {
  const auto& faults = host_.options.faults;
  std::span<const char> from(text_at(r.sqe.addr), r.sqe.len);
  auto file = std::dynamic_pointer_cast<open_file>(r.on);
  if (!file)
    return int32_t(r.on->write(from));
  if ((file->flags & O_ACCMODE) == O_RDONLY || !file->file)
    return -EBADF;
  if (fault(faults.no_space))
    return -ENOSPC;
  if (fault(faults.disk_error))
    return -EIO;
  // A kill in the middle of a write leaves a part of it: the copy goes page by page.
  if (from.size() > 1 && (fault(faults.short_write) || (dead_ && fault(0.3))))
    from = from.first(host_.rng.between(1, from.size() - 1));
  const bool append = file->flags & O_APPEND;
  const bool here = r.sqe.off == uint64_t(-1);
  const uint64_t at = append ? file->file->bytes.size() : here ? file->position : r.sqe.off;
  const ssize_t n = host_.files.write_at(*file->file, {from.data(), from.size()}, at);
  if (here && n > 0)
    file->position = at + uint64_t(n);
  return int32_t(n);
}

int32_t incarnation::sync_effect() { return fault(host_.options.faults.disk_error) ? -EIO : 0; }

int32_t incarnation::open_effect(const request& r) {
  open_how how{};
  std::memcpy(&how, reinterpret_cast<const void*>(r.sqe.off),
              std::min<size_t>(r.sqe.len, sizeof(how)));
  std::string path = text_at(r.sqe.addr);
  if (in_root(r.sqe.off))
    return open_in_root(path, int(how.flags));
  if (r.sqe.fd != AT_FDCWD && !path.starts_with('/')) {
    const auto dir = std::dynamic_pointer_cast<open_file>(get(r.sqe.fd));
    if (!dir)
      return -EBADF;
    if (dir->file && !dir->file->dir)
      return -ENOTDIR;
    if ((how.resolve & RESOLVE_BENEATH) && leaves(path))
      return -EXDEV;
    if ((how.resolve & RESOLVE_BENEATH) && fault(host_.options.faults.again))
      return -EAGAIN;
    path = dir->path + "/" + path;
  } else if (how.resolve & RESOLVE_BENEATH) {
    return -EXDEV;
  }
  return open_at(path, int(how.flags), mode_t(how.mode), true);
}

int32_t incarnation::path_effect(const request& r) {
  const std::string path = text_at(r.sqe.addr);
  GANTRY_CHECK(path.starts_with('/'));
  switch (r.sqe.opcode) {
  case IORING_OP_MKDIRAT:
    if (cgroup_tree::owns(path))
      return host_.groups.mkdir(path);
    return fault(host_.options.faults.no_space) ? -ENOSPC
                                                : host_.files.mkdir(path, mode_t(r.sqe.len));
  case IORING_OP_UNLINKAT:
    if (!(r.sqe.flags & AT_REMOVEDIR))
      return host_.files.unlink(path);
    return cgroup_tree::owns(path) ? host_.groups.rmdir(path) : host_.files.rmdir(path);
  default:
    return fault(host_.options.faults.no_space)
             ? -ENOSPC
             : host_.files.rename(path, text_at(r.sqe.off));
  }
}

int32_t incarnation::allocate_effect(const request& r) {
  auto file = std::dynamic_pointer_cast<open_file>(r.on);
  if (!file || !file->file)
    return -ENODEV;
  if (fault(host_.options.faults.no_space))
    return -ENOSPC;
  const uint64_t end = r.sqe.off + r.sqe.addr;
  const uint64_t have = file->file->bytes.size();
  if (end <= have)
    return 0;
  const auto& disk = host_.files;
  if (disk.capacity != UINT64_MAX && disk.used() + (end - have) > disk.capacity)
    return -ENOSPC;
  if (!(r.sqe.len & FALLOC_FL_KEEP_SIZE))
    host_.files.truncate(*file->file, end);
  return 0;
}

} // namespace gantry::sim
