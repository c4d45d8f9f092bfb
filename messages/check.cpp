#include "messages/check.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace gantry {

namespace {

void say(const char* text) noexcept {
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, text, std::strlen(text));
}

} // namespace

void check_failed(const char* what, const char* file, int line) noexcept {
  char digits[16] = {};
  std::to_chars(digits, digits + sizeof(digits) - 1, line);
  say("gantry: a check failed, this is a bug in gantry: ");
  say(what);
  say(" at ");
  say(file);
  say(":");
  say(digits);
  say("\n");
  std::abort();
}

} // namespace gantry
