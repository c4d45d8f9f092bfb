#pragma once

#include <functional>
#include <span>
#include <sys/socket.h>

#include "io/loop.hpp"

namespace gantry::io {

/// Accepts connections until cancelled (re-armed one-shot accept). Accepted descriptors are
/// close-on-exec and non-blocking and belong to the callee. EMFILE/ENFILE are reported
/// (negative) and accepting goes on after 100 ms; ECONNABORTED and EINTR are retried.
class accept_op final : public op {
public:
  explicit accept_op(loop& l) noexcept : loop_(l), pause_(l) {}
  /// @param f Called for each connection, and for each reported error. -ECANCELED and
  ///          -EINVAL (the listener was shut down) end it: the op is then at rest.
  void start(int listener, std::function<void(int32_t)> f);
  void cancel();

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  void again();
  void tell(int32_t res);
  void end(int32_t res);

  loop& loop_;
  timer pause_;
  int listener_ = -1;
  bool cancelled_ = false;
  std::function<void(int32_t)> callback_;
};

/// One connect.
class connect_op final : public op {
public:
  explicit connect_op(loop& l) noexcept : loop_(l) {}
  /// @param apart By a worker of the ring: where the address is a path, on a file system that
  ///              may hang.
  /// @param f Gets 0 or a negated errno.
  void start(int fd, const sockaddr_storage& to, socklen_t size, bool apart,
             std::function<void(int32_t)> f);
  void cancel();

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  int fd_ = -1;
  sockaddr_storage to_{};
  socklen_t size_ = 0;
  bool apart_ = false;
  std::function<void(int32_t)> callback_;
};

/// One recv; 0 is the end of the stream.
class recv_op final : public op {
public:
  explicit recv_op(loop& l) noexcept : loop_(l) {}
  void start(int fd, std::span<char> into, std::function<void(int32_t)> f);
  void cancel();

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  int fd_ = -1;
  std::span<char> into_;
  bool cancelled_ = false;
  std::function<void(int32_t)> callback_;
};

/// One send with MSG_NOSIGNAL; may be short.
class send_op final : public op {
public:
  explicit send_op(loop& l) noexcept : loop_(l) {}
  void start(int fd, std::span<const char> from, std::function<void(int32_t)> f);
  void cancel();

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  int fd_ = -1;
  std::span<const char> from_;
  bool cancelled_ = false;
  std::function<void(int32_t)> callback_;
};

} // namespace gantry::io
