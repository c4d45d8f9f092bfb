#include <cerrno>
#include <liburing.h>
#include <sys/socket.h>

#include "io/op_errno.hpp"
#include "io/socket_ops.hpp"

namespace gantry::io {

void recv_op::start(int fd, std::span<char> into, std::function<void(int32_t)> f) {
  fd_ = fd;
  into_ = into;
  cancelled_ = false;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void recv_op::cancel() {
  cancelled_ = true;
  loop_.cancel(*this);
}

void recv_op::prepare(io_uring_sqe& sqe) noexcept {
  io_uring_prep_recv(&sqe, fd_, into_.data(), into_.size(), 0);
}

void recv_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case EINTR:
  case EAGAIN: // The kernel waits for readiness itself; this is its rare second thought.
    if (!cancelled_)
      return loop_.submit(*this);
    res = -ECANCELED;
    break;
  case EBADF:
  case EFAULT:
  case ENOTSOCK:
    impossible("recv", res);
  default: // A count, 0 at the end of the stream, ECANCELED, ECONNRESET, ETIMEDOUT, ENOMEM …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
