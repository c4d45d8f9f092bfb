#include "io/state_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gantry::io {

result<fd> lock_state(kernel& k, const std::string& state_dir) {
  const auto path = state_dir + "/gantryd.lock";
  if (::mkdir(state_dir.c_str(), 0700) != 0 && errno != EEXIST)
    return from_errno(errno, "make the state directory", state_dir);
  fd lock{k, ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!lock)
    return from_errno(errno, "open", path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    (void)::pread(lock.get(), pid, sizeof(pid) - 1, 0);
    return error{ec::already_exists,
                 "a supervisor serves " + state_dir + " already, pid " + pid,
                 "stop it, or give this one directories of its own (--state, --root)"};
  }
  const auto pid = std::to_string(::getpid());
  if (::ftruncate(lock.get(), 0) != 0
      || ::pwrite(lock.get(), pid.data(), pid.size(), 0) != ssize_t(pid.size()))
    return from_errno(errno, "write", path);
  return lock;
}

} // namespace gantry::io
