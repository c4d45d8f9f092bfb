#include <cerrno>
#include <fcntl.h>
#include <liburing.h>

#include "io/file_ops.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

void stat_op::start(std::string path, bool follow, op_done f) {
  path_ = std::move(path);
  flags_ = AT_STATX_DONT_SYNC | (follow ? 0 : AT_SYMLINK_NOFOLLOW);
  cancelled_ = false;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void stat_op::cancel() {
  cancelled_ = true;
  loop_.cancel(*this);
}

void stat_op::prepare(io_uring_sqe& sqe) noexcept {
  io_uring_prep_statx(&sqe, AT_FDCWD, path_.c_str(), flags_, STATX_BASIC_STATS, &found_);
}

void stat_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case EINTR:
  case EAGAIN:
    if (!cancelled_)
      return loop_.submit(*this);
    res = -ECANCELED;
    break;
  case EBADF:
  case EFAULT:
  case EINVAL: // Flags that contradict each other.
    impossible("stat", res);
  default: // 0, or what the path and the file system say: ENOENT, EACCES, ELOOP …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
