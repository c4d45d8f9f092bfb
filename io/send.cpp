#include <cerrno>
#include <liburing.h>
#include <sys/socket.h>

#include "io/op_errno.hpp"
#include "io/socket_ops.hpp"

namespace gantry::io {

void send_op::start(int fd, std::span<const char> from, std::function<void(int32_t)> f) {
  fd_ = fd;
  from_ = from;
  cancelled_ = false;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void send_op::cancel() {
  cancelled_ = true;
  loop_.cancel(*this);
}

void send_op::prepare(io_uring_sqe& sqe) noexcept {
  io_uring_prep_send(&sqe, fd_, from_.data(), from_.size(), MSG_NOSIGNAL);
}

void send_op::complete(int32_t res, uint32_t) noexcept {
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
    impossible("send", res);
  default: // A count, ECANCELED, EPIPE, ECONNRESET, ENOBUFS, ENOMEM …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
