#include "apps/keeper/child.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace gantry::keeper {

namespace {

constexpr int last_signal = 64;

/// Moves the three to their places, by way of numbers above, as each may stand in another's.
bool place(const belongings& with) noexcept {
  const int wanted[] = {wire::socket_fd, wire::arena_fd, wire::news_fd};
  const int ours[] = {with.socket, with.arena, with.news};
  int high[3];
  for (int i = 0; i < 3; ++i)
    high[i] = ::fcntl(ours[i], F_DUPFD, wire::news_fd + 1);
  for (int i = 0; i < 3; ++i)
    if (high[i] < 0 || ::dup2(high[i], wanted[i]) < 0)
      return false;
  return ::syscall(SYS_close_range, wire::news_fd + 1, ~0U, 0) == 0;
}

[[noreturn]] void run(program& what, const belongings& with) noexcept {
  default_dispositions();
  const uint64_t nothing = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &nothing, nullptr, sizeof(nothing));
  ::setrlimit(RLIMIT_NOFILE, &with.files);
  if (!place(with) || (what.directory != nullptr && ::chdir(what.directory) != 0))
    ::_exit(126);
  static char address[] = "GANTRY_KEEPER=1:3:4:5"; // checked by a test against the wire
  char** end = what.variables;
  while (*end != nullptr)
    ++end;
  end[0] = address;
  end[1] = nullptr;
  ::execvpe(what.path, what.arguments, what.variables);
  const int err = errno;
  say({"cannot execute ", what.path, ": ", ::strerrordesc_np(err)});
  ::_exit(err == ENOENT ? 127 : 126);
}

} // namespace

void say(std::initializer_list<const char*> parts) noexcept {
  char line[512] = "gantry-keeper: ";
  size_t size = std::strlen(line);
  for (const char* part : parts)
    for (; *part != 0 && size < sizeof(line) - 1; ++part)
      line[size++] = *part;
  line[size++] = '\n';
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, line, size);
}

void default_dispositions() noexcept {
  // The kernel's own struct, all zero: SIG_DFL, no flags, an empty mask. The wrapper of the
  // C library refuses 32 and 33.
  const uint64_t action[4] = {};
  for (int sig = 1; sig <= last_signal; ++sig)
    ::syscall(SYS_rt_sigaction, sig, action, nullptr, sizeof(uint64_t));
}

pid_t start_program(program& what, const belongings& with) noexcept {
  const pid_t pid = ::fork();
  if (pid == 0)
    run(what, with);
  return pid;
}

} // namespace gantry::keeper
