#include <cerrno>
#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>

#include "io/file_ops.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

namespace {

/// EAGAIN of RESOLVE_BENEATH and RESOLVE_IN_ROOT: somebody renames directories at this moment. So
/// often we try.
constexpr int max_retries = 64;

} // namespace

void open_op::start(int dir, std::string path, int flags, mode_t mode, bool beneath, op_done f) {
  // openat2 refuses a mode without O_CREAT.
  bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  how_ = {uint64_t(uint32_t(flags)) | O_CLOEXEC, creates ? mode : 0u,
          beneath ? uint64_t(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS) : 0u};
  begin(dir, std::move(path), std::move(f));
}

void open_op::start_in_root(int dir, std::string path, int flags, op_done f) {
  how_ = {uint64_t(uint32_t(flags)) | O_CLOEXEC, 0u,
          uint64_t(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)};
  begin(dir, std::move(path), std::move(f));
}

void open_op::begin(int dir, std::string path, op_done f) {
  static_assert(sizeof(how_t) == sizeof(open_how));
  dir_ = dir;
  path_ = std::move(path);
  retries_ = 0;
  cancelled_ = false;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void open_op::cancel() {
  cancelled_ = true;
  loop_.cancel(*this);
}

void open_op::prepare(io_uring_sqe& sqe) noexcept {
  io_uring_prep_openat2(&sqe, dir_, path_.c_str(), reinterpret_cast<open_how*>(&how_));
}

void open_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case EINTR:
    if (!cancelled_)
      return loop_.submit(*this);
    res = -ECANCELED;
    break;
  case EAGAIN:
    if (++retries_ < max_retries && !cancelled_)
      return loop_.submit(*this);
    break;
  case EBADF: // The directory's descriptor.
  case EFAULT:
  case EINVAL: // Flags that contradict each other.
  case E2BIG:
    impossible("open", res);
  default: // A descriptor, or what the path and the file system say: ENOENT, EACCES, EXDEV …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
