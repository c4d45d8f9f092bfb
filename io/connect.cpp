#include <cerrno>
#include <liburing.h>

#include "io/op_errno.hpp"
#include "io/socket_ops.hpp"

namespace gantry::io {

void connect_op::start(int fd, const sockaddr_storage& to, socklen_t size, bool apart,
                       std::function<void(int32_t)> f) {
  fd_ = fd;
  to_ = to;
  size_ = size;
  apart_ = apart;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void connect_op::cancel() { loop_.cancel(*this); }

void connect_op::prepare(io_uring_sqe& sqe) noexcept {
  io_uring_prep_connect(&sqe, fd_, reinterpret_cast<const sockaddr*>(&to_), size_);
  if (apart_)
    sqe.flags |= IOSQE_ASYNC;
}

void connect_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case EBADF:
  case EFAULT:
  case ENOTSOCK:
    impossible("connect", res);
  case EINTR: // A worker was told to give up: only by a cancel.
    res = -ECANCELED;
    break;
  default: // 0, ECANCELED, ECONNREFUSED, ETIMEDOUT, ENOENT, EAGAIN (a full queue), ENETUNREACH …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
