#include "io/sealed_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace gantry::io {

namespace {
constexpr unsigned may_execute = 0x10; // MFD_EXEC; linux/memfd.h of 6.3.
} // namespace

int executable_memory(const std::string& name) {
  int file = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | may_execute);
  if (file < 0 && errno == EINVAL)
    file = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return file < 0 ? -errno : file;
}

int seal(int file) {
  constexpr int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  return ::fcntl(file, F_ADD_SEALS, all) < 0 ? -errno : 0;
}

int link_to_descriptor(const std::string& path, int file) {
  const auto to = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file);
  if (::unlink(path.c_str()) < 0 && errno != ENOENT)
    return -errno;
  return ::symlink(to.c_str(), path.c_str()) < 0 ? -errno : 0;
}

} // namespace gantry::io
