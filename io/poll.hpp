#pragma once

#include <functional>

#include "io/loop.hpp"

namespace gantry::io {

/// Waits once for readiness of a descriptor (IORING_OP_POLL_ADD, kernel 5.1). Level: fires
/// at once when it is ready already. Works for pipes, pidfds (POLLIN = ended), eventfds,
/// sockets, inotify, and POLLPRI files of cgroupfs.
class poll_op final : public op {
public:
  explicit poll_op(loop& l) noexcept : loop_(l) {}

  /// @param events poll(2) bits: POLLIN, POLLOUT, POLLPRI.
  /// @param f Gets the ready bits, or a negated errno.
  void start(int fd, uint32_t events, std::function<void(int32_t)> f);
  /// Ends the wait early: the callback gets -ECANCELED, or the bits that came first.
  void cancel();

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  int fd_ = -1;
  uint32_t events_ = 0;
  bool cancelled_ = false;
  std::function<void(int32_t)> callback_;
};

} // namespace gantry::io
