#include "io/log_pack.hpp"

#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <unistd.h>
#include <vector>
#include <zstd.h>

namespace gantry::io {

namespace {

constexpr int level = 3;

struct owned_fd {
  explicit owned_fd(int n) : number(n) {}
  ~owned_fd() {
    if (number >= 0)
      ::close(number);
  }
  owned_fd(const owned_fd&) = delete;
  owned_fd& operator=(const owned_fd&) = delete;
  int number;
};

bool write_all(int to, const char* bytes, size_t left) {
  while (left > 0) {
    const ssize_t n = ::write(to, bytes, left);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    bytes += n;
    left -= static_cast<size_t>(n);
  }
  return true;
}

/// @returns 0 or an errno.
int pack(int from, int to) {
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> c(ZSTD_createCCtx(), ZSTD_freeCCtx);
  if (!c)
    return ENOMEM;
  ZSTD_CCtx_setParameter(c.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(c.get(), ZSTD_c_checksumFlag, 1);
  std::vector<char> in(ZSTD_CStreamInSize());
  std::vector<char> out(ZSTD_CStreamOutSize());
  for (bool end = false; !end;) {
    const ssize_t n = ::read(from, in.data(), in.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return errno;
    end = n == 0;
    ZSTD_inBuffer source{in.data(), static_cast<size_t>(n), 0};
    for (bool done = false; !done;) {
      ZSTD_outBuffer sink{out.data(), out.size(), 0};
      const size_t left =
        ZSTD_compressStream2(c.get(), &sink, &source, end ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left) != 0)
        return ENOMEM;
      if (!write_all(to, out.data(), sink.pos))
        return errno;
      done = end ? left == 0 : source.pos == source.size;
    }
  }
  return ::fdatasync(to) == 0 ? 0 : errno;
}

} // namespace

result<void> pack_log(const std::string& from) {
  const std::string whole = from + ".zst";
  const std::string temp = whole + ".tmp." + std::to_string(::getpid());
  const owned_fd source(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (source.number < 0 && errno == ENOENT)
    return {}; // Removed by rotation, or packed already.
  if (source.number < 0)
    return from_errno(errno, "open", from);
  const owned_fd sink(
    ::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (sink.number < 0)
    return from_errno(errno, "create", temp);
  int err = pack(source.number, sink.number);
  if (err == 0 && ::rename(temp.c_str(), whole.c_str()) != 0)
    err = errno;
  if (err != 0) {
    ::unlink(temp.c_str());
    return from_errno(err, "pack", from);
  }
  if (::unlink(from.c_str()) != 0 && errno != ENOENT)
    return from_errno(errno, "remove the packed", from);
  return {};
}

} // namespace gantry::io
