#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"

// The calls of the real kernel that concern descriptors and small files.

namespace gantry::io {

namespace {

template <class T>
T or_errno(T res) noexcept {
  return res < 0 ? T(-errno) : res;
}

/// Calls again as long as a signal interrupts it.
template <class F>
auto again_on_eintr(F f) noexcept {
  auto res = f();
  while (res < 0 && errno == EINTR)
    res = f();
  return or_errno(res);
}

int write_whole(int fd, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    auto n = again_on_eintr([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (n < 0)
      return int(n);
    if (n == 0)
      return -EIO;
    bytes.remove_prefix(size_t(n));
  }
  return 0;
}

} // namespace

// -- descriptors -----------------------------------------------------------------

int linux_kernel::close(int fd) {
  int res = or_errno(::close(fd));
  GANTRY_CHECK(res != -EBADF); // Closed twice: some other descriptor would be next.
  return res == -EINTR ? 0 : res; // Linux has closed it even then.
}

int linux_kernel::pipe(int (&out)[2], int ours) {
  GANTRY_CHECK(ours >= 0 && ours <= 2);
  if (ours == 2)
    return or_errno(::pipe2(out, O_CLOEXEC | O_NONBLOCK));
  if (int res = or_errno(::pipe2(out, O_CLOEXEC)); res < 0)
    return res;
  return or_errno(::fcntl(out[ours], F_SETFL, (ours == 0 ? O_RDONLY : O_WRONLY) | O_NONBLOCK));
}

int linux_kernel::set_pipe_size(int fd, int bytes) {
  return or_errno(::fcntl(fd, F_SETPIPE_SZ, bytes));
}

int linux_kernel::readable(int fd) {
  int bytes = 0;
  int res = or_errno(::ioctl(fd, FIONREAD, &bytes));
  return res < 0 ? res : bytes;
}

ssize_t linux_kernel::read(int fd, std::span<char> into) {
  return again_on_eintr([&] { return ::read(fd, into.data(), into.size()); });
}

ssize_t linux_kernel::write(int fd, std::span<const char> from) {
  return again_on_eintr([&] { return ::write(fd, from.data(), from.size()); });
}

ssize_t linux_kernel::tee(int from, int to, size_t bytes) {
  return again_on_eintr([&] { return ::tee(from, to, bytes, SPLICE_F_NONBLOCK); });
}

ssize_t linux_kernel::splice(int from, int to, size_t bytes) {
  return again_on_eintr(
    [&] { return ::splice(from, nullptr, to, nullptr, bytes, SPLICE_F_NONBLOCK); });
}

int linux_kernel::eventfd() { return or_errno(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

// -- small files -----------------------------------------------------------------

int linux_kernel::open(const std::string& path, int flags, mode_t mode) {
  return again_on_eintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
}

int linux_kernel::read_small(const std::string& path, std::string& out, size_t limit) {
  out.clear();
  int file = open(path, O_RDONLY, 0);
  if (file < 0)
    return file;
  fd keep(*this, file);
  char part[4096];
  for (;;) {
    auto n = read(file, part);
    if (n < 0)
      return int(n);
    if (n == 0)
      return 0;
    if (out.size() + size_t(n) > limit)
      return -EFBIG;
    out.append(part, size_t(n));
  }
}

int linux_kernel::write_small(const std::string& path, std::string_view bytes) {
  int file = open(path, O_WRONLY, 0);
  if (file < 0)
    return file;
  fd keep(*this, file);
  auto n = write(file, bytes);
  if (n < 0)
    return int(n);
  return size_t(n) == bytes.size() ? 0 : -EIO; // A cgroup file takes all or nothing.
}

int linux_kernel::create_small(const std::string& path, std::string_view bytes, mode_t mode) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  if (file < 0)
    return file;
  fd keep(*this, file);
  return write_whole(file, bytes);
}

int linux_kernel::mkdir(const std::string& path, mode_t mode) {
  return or_errno(::mkdir(path.c_str(), mode));
}

int linux_kernel::rmdir(const std::string& path) { return or_errno(::rmdir(path.c_str())); }

int linux_kernel::unlink(const std::string& path) { return or_errno(::unlink(path.c_str())); }

int linux_kernel::rename(const std::string& from, const std::string& to) {
  return or_errno(::rename(from.c_str(), to.c_str()));
}

int linux_kernel::exists(const std::string& path) {
  struct stat st {};
  int res = or_errno(::lstat(path.c_str(), &st));
  if (res == -ENOENT || res == -ENOTDIR)
    return 0;
  return res < 0 ? res : 1;
}

int linux_kernel::list(const std::string& path, std::vector<std::string>& out) {
  out.clear();
  auto* dir = ::opendir(path.c_str());
  if (!dir)
    return -errno;
  errno = 0;
  while (auto* entry = ::readdir(dir)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..")
      out.emplace_back(name);
    errno = 0;
  }
  int res = -errno;
  ::closedir(dir);
  return res;
}

ssize_t linux_kernel::pread(int fd, std::span<char> into, uint64_t offset) {
  return again_on_eintr([&] { return ::pread(fd, into.data(), into.size(), off_t(offset)); });
}

} // namespace gantry::io
