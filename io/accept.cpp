#include <cerrno>
#include <liburing.h>
#include <sys/socket.h>

#include "io/op_errno.hpp"
#include "io/socket_ops.hpp"

namespace gantry::io {

namespace {

/// Descriptors or memory are short: time for somebody to give some back.
constexpr nanoseconds pause_when_short = std::chrono::milliseconds(100);

} // namespace

void accept_op::start(int listener, std::function<void(int32_t)> f) {
  GANTRY_CHECK(!in_flight() && !pause_.armed());
  listener_ = listener;
  cancelled_ = false;
  callback_ = std::move(f);
  loop_.submit(*this);
}

void accept_op::cancel() {
  if (in_flight()) {
    cancelled_ = true;
    loop_.cancel(*this);
  } else if (pause_.armed()) {
    cancelled_ = true;
    pause_.start(nanoseconds(0), [this] { end(-ECANCELED); });
  }
}

void accept_op::prepare(io_uring_sqe& sqe) noexcept {
  io_uring_prep_accept(&sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

void accept_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case 0:
    // Armed again first: the op is then in flight while the callback runs, so that it
    // cannot be destroyed there but only cancelled.
    if (cancelled_) { // A connection came just before the cancel: it is still handed over.
      pause_.start(nanoseconds(0), [this] { end(-ECANCELED); });
      return tell(res);
    }
    loop_.submit(*this);
    return callback_(res);
  case ECANCELED:
    return end(res);
  case EINTR:
  case EAGAIN:
  case ECONNABORTED: // The peer left before we came: nothing of ours.
  case EPROTO:
  case ENETDOWN:
  case ENETUNREACH:
  case EHOSTDOWN:
  case EHOSTUNREACH:
  case ENOPROTOOPT:
  case ENONET:
  case EPERM: // A firewall rule.
    return again();
  case EINVAL: // The listener was shut down: no connection will come any more.
    return end(res);
  case EBADF:
  case EFAULT:
  case ENOTSOCK:
  case EOPNOTSUPP:
    impossible("accept", res);
  default: // EMFILE, ENFILE, ENOMEM, ENOBUFS, and what we do not know.
    if (cancelled_)
      return end(-ECANCELED);
    pause_.start(pause_when_short, [this] { loop_.submit(*this); });
    return tell(res);
  }
}

void accept_op::again() {
  if (cancelled_)
    return end(-ECANCELED);
  loop_.submit(*this);
}

// By a copy: the op is at rest, so the callback may destroy it, and itself with it.
void accept_op::tell(int32_t res) {
  auto f = callback_;
  f(res);
}

void accept_op::end(int32_t res) {
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
