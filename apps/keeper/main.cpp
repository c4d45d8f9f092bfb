// gantry-keeper [--max-restarts N] [--back-off MS] [--control PATH] [--shelve KIND:NOTE]
//               -- PROGRAM ARGUMENTS...
// Without a program it waits on the control socket for one that is to be run.

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

bool read_number(const char* text, unsigned& out) noexcept {
  char* end = nullptr;
  const auto value = std::strtoul(text, &end, 10);
  out = static_cast<unsigned>(value);
  return *text >= '0' && *text <= '9' && *end == 0 && value <= 1'000'000;
}

/// KIND:NOTE, and a descriptor from 3 on for each letter of the note.
bool read_shelved(const char* text, options& out) noexcept {
  char* end = nullptr;
  out.shelved_kind = std::strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != ':')
    return false;
  out.shelved_note = end + 1;
  const auto count = std::strlen(out.shelved_note);
  return count > 0 && count <= wire::max_fds;
}

/// Reads the options; the index of the program (argc if there is none and the control socket
/// will bring one), or 0 after saying what is wrong.
int read_options(int argc, char** argv, options& out) noexcept {
  int i = 1;
  bool ok = true;
  for (; ok && i + 1 < argc && std::strcmp(argv[i], "--") != 0; i += 2) {
    const char* value = argv[i + 1];
    if (std::strcmp(argv[i], "--control") == 0)
      out.control = value;
    else if (std::strcmp(argv[i], "--max-restarts") == 0)
      ok = read_number(value, out.max_restarts);
    else if (std::strcmp(argv[i], "--shelve") == 0)
      ok = read_shelved(value, out);
    else
      ok = std::strcmp(argv[i], "--back-off") == 0 && read_number(value, out.back_off_ms);
  }
  if (ok && i + 1 < argc && std::strcmp(argv[i], "--") == 0)
    return i + 1;
  if (ok && i == argc && out.control != nullptr)
    return argc;
  say({"usage: gantry-keeper [--max-restarts N] [--back-off MS] [--control PATH] "
       "[--shelve KIND:NOTE] [-- PROGRAM ARGUMENTS...]"});
  return 0;
}

/// 0, 1 and 2 are open; behind them and what goes on the shelf everything that we were given is
/// closed.
void tidy_descriptors(const options& how) noexcept {
  const auto shelved = how.shelved_note != nullptr ? std::strlen(how.shelved_note) : 0;
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR); // inherited: 0, 1, 2
    if (fd > STDERR_FILENO || fd < 0)
      break;
  }
  ::syscall(SYS_close_range, STDERR_FILENO + 1 + shelved, ~0U, 0);
}

} // namespace

int main(int argc, char** argv) {
  default_dispositions();
  options how;
  const int at = read_options(argc, argv, how);
  if (at == 0)
    return wrong_usage;
  tidy_descriptors(how);
  if (argc - at > static_cast<int>(wire::max_arguments) || !copy_variables(environ, first)) {
    say({"too many arguments or variables of the environment"});
    return wrong_usage;
  }
  if (at < argc)
    first.path = argv[at];
  for (int i = at; i < argc; ++i)
    first.arguments[i - at] = argv[i];
  return self.open(how) ? self.run(first) : cannot_start;
}
