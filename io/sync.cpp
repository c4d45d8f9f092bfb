#include <cerrno>
#include <liburing.h>

#include "io/file_ops.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

void sync_op::start(int fd, op_done f) {
  fd_ = fd;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void sync_op::prepare(io_uring_sqe& sqe) noexcept {
  io_uring_prep_fsync(&sqe, fd_, IORING_FSYNC_DATASYNC);
}

void sync_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case EINTR:
  case EAGAIN:
    return loop_.submit(*this);
  case EBADF:
    impossible("sync", res);
  default: // 0; EIO (what was written may be lost), ENOSPC, EDQUOT, EROFS, EINVAL (no file).
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
