#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <sys/stat.h>

#include "io/loop.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// Callback of an op: a count or a negated errno.
using op_done = std::function<void(int32_t)>;

/// openat2 (kernel 5.6), always O_CLOEXEC. With `beneath`, the path may not leave `dir`
/// (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS): for every path that comes from outside.
class open_op final : public op {
public:
  explicit open_op(loop& l) noexcept : loop_(l) {}
  /// @param f Gets the descriptor (to be owned by the callee) or a negated errno.
  void start(int dir, std::string path, int flags, mode_t mode, bool beneath, op_done f);
  /// Opens what is there, with `dir` for the root: its absolute links and its `..` stay within
  /// (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS).
  void start_in_root(int dir, std::string path, int flags, op_done f);
  void cancel(); ///< One that hangs in its file system may stay there all the same.

private:
  void begin(int dir, std::string path, op_done f);
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  struct how_t {
    uint64_t flags, mode, resolve;
  } how_{}; ///< The kernel's struct open_how.
  int dir_ = -1;
  int retries_ = 0;
  bool cancelled_ = false;
  std::string path_;
  op_done callback_;
};

/// statx(2): what a path is, without opening it.
class stat_op final : public op {
public:
  explicit stat_op(loop& l) noexcept : loop_(l) {}
  /// @param follow Whether a symbolic link at the end is followed.
  /// @param f Gets 0 or a negated errno; `found` holds until the next start.
  void start(std::string path, bool follow, op_done f);
  void cancel(); ///< As of open.
  [[nodiscard]] const struct statx& found() const noexcept { return found_; }

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  std::string path_;
  int flags_ = 0;
  bool cancelled_ = false;
  struct statx found_ {};
  op_done callback_;
};

/// pread on a file: a short count at its end, never otherwise mid-file but for errors.
class read_op final : public op {
public:
  explicit read_op(loop& l) noexcept : loop_(l) {}
  void start(int fd, std::span<char> into, uint64_t offset, op_done f);
  void cancel();

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  int fd_ = -1;
  std::span<char> into_;
  uint64_t offset_ = 0;
  size_t done_ = 0;
  bool cancelled_ = false;
  op_done callback_;
};

/// pwrite on a file, whole: short writes are continued; the callback gets the full size or
/// the first error. (Runs on a bounded io-wq worker: kernel-io facts, section 2.)
class write_op final : public op {
public:
  explicit write_op(loop& l) noexcept : loop_(l) {}
  /// @param from Stays valid until the callback.
  void start(int fd, std::span<const char> from, uint64_t offset, op_done f);

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  int fd_ = -1;
  std::span<const char> from_;
  uint64_t offset_ = 0;
  size_t done_ = 0;
  op_done callback_;
};

/// fdatasync.
class sync_op final : public op {
public:
  explicit sync_op(loop& l) noexcept : loop_(l) {}
  void start(int fd, op_done f);

private:
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  int fd_ = -1;
  op_done callback_;
};

/// One path deed: mkdirat, unlinkat (file or directory), renameat, fallocate on an fd.
class path_op final : public op {
public:
  explicit path_op(loop& l) noexcept : loop_(l) {}
  void mkdir(std::string path, mode_t mode, op_done f);
  void unlink(std::string path, op_done f);
  void rmdir(std::string path, op_done f);
  void rename(std::string from, std::string to, op_done f);
  /// fallocate from offset 0: reserves the blocks, keeps content and size.
  void allocate(int fd, uint64_t bytes, op_done f);

private:
  enum class kind : uint8_t { mkdir, unlink, rmdir, rename, allocate };
  void begin(kind what, std::string path, std::string other, op_done f);
  void prepare(io_uring_sqe& sqe) noexcept override;
  void complete(int32_t res, uint32_t flags) noexcept override;
  const std::type_info& purpose() const noexcept override { return callback_.target_type(); }

  loop& loop_;
  kind kind_ = kind::mkdir;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  mode_t mode_ = 0;
  std::string path_;
  std::string other_;
  op_done callback_;
};

/// Reads a whole regular file through the ring (open, reads, close), at most `limit`
/// bytes (resource_exhausted above). `thing` names it in the error. The call owns itself
/// until the callback.
void read_file(loop& l, std::string path, size_t limit, std::string thing,
               std::function<void(result<std::string>)> f);

/// The same for a path from outside, beneath the directory `root`.
void read_file_beneath(loop& l, std::string root, std::string path, size_t limit,
                       std::string thing, std::function<void(result<std::string>)> f);

/// Writes a whole file as PATH.tmp and renames it into place; with `durable`, fdatasync
/// before, and of the directory behind. What stood there stays whole until the rename, and
/// after a failure; PATH.tmp is removed then. One call at a time for each path.
void write_file(loop& l, std::string path, std::string bytes, mode_t mode, bool durable,
                std::function<void(result<void>)> f);

} // namespace gantry::io
