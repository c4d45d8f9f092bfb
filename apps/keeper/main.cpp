// gantry-keeper [--max-restarts N] [--control PATH] -- PROGRAM ARGUMENTS...

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apps/keeper/keeper.hpp"

namespace {

using namespace gantry::keeper;

constexpr int wrong_usage = 64;  // EX_USAGE
constexpr int cannot_start = 71; // EX_OSERR

shelf_table shelf; // a megabyte of zeros, touched as far as it is used
program first;
constinit keeper self{shelf};

/// Reads the options; the index of the program, or 0 after saying what is wrong.
int read_options(int argc, char** argv, options& out) noexcept {
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--") == 0 && has_value)
      return i + 1;
    if (std::strcmp(argv[i], "--control") == 0 && has_value) {
      out.control = argv[++i];
    } else if (std::strcmp(argv[i], "--max-restarts") == 0 && has_value) {
      char* end = nullptr;
      out.max_restarts = static_cast<unsigned>(std::strtoul(argv[++i], &end, 10));
      if (*end != 0)
        break;
    } else {
      break;
    }
  }
  say({"usage: gantry-keeper [--max-restarts N] [--control PATH] -- PROGRAM ARGUMENTS..."});
  return 0;
}

/// 0, 1 and 2 are open, everything else that we were given is closed.
void tidy_descriptors() noexcept {
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR);
    if (fd > STDERR_FILENO || fd < 0)
      break;
  }
  ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
}

} // namespace

int main(int argc, char** argv) {
  tidy_descriptors();
  default_dispositions();
  options how;
  const int at = read_options(argc, argv, how);
  if (at == 0)
    return wrong_usage;
  if (argc - at > static_cast<int>(wire::max_arguments) || !copy_variables(environ, first)) {
    say({"too many arguments or variables of the environment"});
    return wrong_usage;
  }
  first.path = argv[at];
  for (int i = at; i < argc; ++i)
    first.arguments[i - at] = argv[i];
  return self.open(how) ? self.run(first) : cannot_start;
}
