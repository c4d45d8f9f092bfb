#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"

// A client's FIFO: found or made, looked at, and only then opened, so that the name may be
// changed under our hands and we still open what we looked at.

namespace gantry::io {

namespace {

int look_at(int dir, const std::string& name) noexcept {
  const int fd = ::openat(dir, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int make_fifo(int dir, const std::string& name, uint32_t owner) noexcept {
  if (::mknodat(dir, name.c_str(), S_IFIFO | 0600, 0) != 0)
    return -errno;
  if (::fchownat(dir, name.c_str(), owner, gid_t(-1), AT_SYMLINK_NOFOLLOW) != 0)
    return -errno;
  return look_at(dir, name);
}

/// 0, or why it is not the client's FIFO.
int objection(int fd, uint32_t owner) noexcept {
  struct stat what {};
  if (::fstat(fd, &what) != 0)
    return -errno;
  if (S_ISLNK(what.st_mode))
    return -ELOOP;
  if (!S_ISFIFO(what.st_mode))
    return -ENOTSUP;
  return what.st_uid == owner || what.st_uid == 0 ? 0 : -EPERM;
}

} // namespace

int linux_kernel::open_fifo(int dir, const std::string& name, uint32_t owner) {
  int seen = look_at(dir, name);
  if (seen == -ENOENT)
    seen = make_fifo(dir, name, owner);
  if (seen < 0)
    return seen;
  if (const int why = objection(seen, owner); why != 0) {
    ::close(seen);
    return why;
  }
  const auto path = "/proc/self/fd/" + std::to_string(seen);
  // Both ways: a client that goes brings neither an end of file nor a closed pipe.
  const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const int err = errno;
  ::close(seen);
  if (fd < 0)
    return -err;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0)
    return fd;
  const int why = errno == EWOULDBLOCK ? EBUSY : errno;
  ::close(fd);
  return -why;
}

} // namespace gantry::io
