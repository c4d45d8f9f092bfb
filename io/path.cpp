#include <cerrno>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>

#include "io/file_ops.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

void path_op::mkdir(std::string path, mode_t mode, op_done f) {
  mode_ = mode;
  begin(kind::mkdir, std::move(path), {}, std::move(f));
}

void path_op::unlink(std::string path, op_done f) {
  begin(kind::unlink, std::move(path), {}, std::move(f));
}

void path_op::rmdir(std::string path, op_done f) {
  begin(kind::rmdir, std::move(path), {}, std::move(f));
}

void path_op::rename(std::string from, std::string to, op_done f) {
  begin(kind::rename, std::move(from), std::move(to), std::move(f));
}

void path_op::allocate(int fd, uint64_t bytes, op_done f) {
  fd_ = fd;
  bytes_ = bytes;
  begin(kind::allocate, {}, {}, std::move(f));
}

void path_op::begin(kind what, std::string path, std::string other, op_done f) {
  kind_ = what;
  path_ = std::move(path);
  other_ = std::move(other);
  callback_ = std::move(f);
  loop_.submit(*this);
}

void path_op::prepare(io_uring_sqe& sqe) noexcept {
  switch (kind_) {
  case kind::mkdir:
    return io_uring_prep_mkdirat(&sqe, AT_FDCWD, path_.c_str(), mode_);
  case kind::unlink:
    return io_uring_prep_unlinkat(&sqe, AT_FDCWD, path_.c_str(), 0);
  case kind::rmdir:
    return io_uring_prep_unlinkat(&sqe, AT_FDCWD, path_.c_str(), AT_REMOVEDIR);
  case kind::rename:
    return io_uring_prep_renameat(&sqe, AT_FDCWD, path_.c_str(), AT_FDCWD, other_.c_str(), 0);
  case kind::allocate:
    return io_uring_prep_fallocate(&sqe, fd_, FALLOC_FL_KEEP_SIZE, 0, off_t(bytes_));
  }
}

void path_op::complete(int32_t res, uint32_t) noexcept {
  switch (res < 0 ? -res : 0) {
  case EINTR:
  case EAGAIN:
    return loop_.submit(*this);
  case EBADF: // Only `allocate` brings a descriptor of ours.
  case EFAULT:
    impossible("path", res);
  default: // 0, or what the paths and the file system say: EEXIST, ENOENT, ENOSPC …
    break;
  }
  auto f = std::move(callback_);
  callback_ = nullptr;
  f(res);
}

} // namespace gantry::io
