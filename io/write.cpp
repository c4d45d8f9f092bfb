#include <algorithm>
#include <cerrno>
#include <liburing.h>

#include "io/file_ops.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

namespace {

/// A buffered write is a copy that the kernel makes while it takes the request: a large one is
/// several of them.
constexpr size_t most_at_once = 512u << 10;

} // namespace

void write_op::start(int fd, std::span<const char> from, uint64_t offset, op_done f) {
  GANTRY_CHECK(from.size() <= size_t(INT32_MAX));
  fd_ = fd;
  from_ = from;
  offset_ = offset;
  done_ = 0;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void write_op::prepare(io_uring_sqe& sqe) noexcept {
  const auto rest = from_.subspan(done_, std::min(most_at_once, from_.size() - done_));
  io_uring_prep_write(&sqe, fd_, rest.data(), unsigned(rest.size()), offset_ + done_);
}

void write_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case 0:
    done_ += size_t(res);
    if (done_ < from_.size() && res > 0)
      return loop_.submit(*this); // The rest; a full disk says so then.
    // No byte and no error is not an answer that write(2) has for a file.
    res = done_ < from_.size() ? -EIO : int32_t(done_);
    break;
  case EINTR:
  case EAGAIN:
    return loop_.submit(*this);
  case EBADF: // Not open, or not for writing.
  case EFAULT:
    impossible("write", res);
  default: // ENOSPC, EDQUOT, EIO, EFBIG, EROFS, ENOMEM …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
