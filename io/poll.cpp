#include "io/poll.hpp"

#include <cerrno>
#include <liburing.h>

#include "io/op_errno.hpp"

namespace gantry::io {

void poll_op::start(int fd, uint32_t events, std::function<void(int32_t)> f) {
  fd_ = fd;
  events_ = events;
  cancelled_ = false;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void poll_op::cancel() {
  cancelled_ = true;
  loop_.cancel(*this);
}

void poll_op::prepare(io_uring_sqe& sqe) noexcept { io_uring_prep_poll_add(&sqe, fd_, events_); }

void poll_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case EINTR:
  case EAGAIN:
    if (!cancelled_)
      return loop_.submit(*this);
    res = -ECANCELED;
    break;
  case EBADF: // Closed under a waiting op, or never open: our own mistake.
  case EFAULT:
  case EINVAL:
    impossible("poll", res);
  default: // Ready bits, ECANCELED, ENOMEM.
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
