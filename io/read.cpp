#include <algorithm>
#include <cerrno>
#include <liburing.h>

#include "io/file_ops.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

void read_op::start(int fd, std::span<char> into, uint64_t offset, op_done f) {
  GANTRY_CHECK(into.size() <= size_t(INT32_MAX));
  fd_ = fd;
  into_ = into;
  offset_ = offset;
  done_ = 0;
  cancelled_ = false;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void read_op::cancel() {
  cancelled_ = true;
  loop_.cancel(*this);
}

void read_op::prepare(io_uring_sqe& sqe) noexcept {
  auto rest = into_.subspan(done_);
  io_uring_prep_read(&sqe, fd_, rest.data(), unsigned(rest.size()), offset_ + done_);
}

void read_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case 0:
    done_ += size_t(res);
    if (res > 0 && done_ < into_.size() && !cancelled_)
      return loop_.submit(*this); // Short in the middle of the file: go on to its end.
    res = int32_t(done_);
    break;
  case EINTR:
  case EAGAIN:
    if (!cancelled_)
      return loop_.submit(*this);
    res = -ECANCELED;
    break;
  case EBADF: // Not open, or not for reading.
  case EFAULT:
    impossible("read", res);
  default: // ECANCELED, EIO, EISDIR, EINVAL (a file that cannot be read so), ENOMEM, ESTALE …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
