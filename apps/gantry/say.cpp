#include "apps/gantry/say.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <poll.h>
#include <unistd.h>

#include "apps/gantry/json.hpp"
#include "apps/gantry/raw_terminal.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

bool errors_as_json = false;
bool errors_in_color = false;

/// @returns 0 or an errno.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    if (errno == EAGAIN) { // Somebody made our stdout non-blocking.
      pollfd room{fd, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

} // namespace

bool color_on(int fd, bool no_color) {
  const char* plain = std::getenv("NO_COLOR"); // NOLINT(concurrency-mt-unsafe): one thread
  return !no_color && !(plain && *plain) && ::isatty(fd) == 1;
}

void set_error_style(bool json, bool no_color) {
  errors_as_json = json;
  errors_in_color = color_on(STDERR_FILENO, no_color);
}

void say_error(const error& why) {
  if (errors_as_json) {
    json_object inner;
    inner.text("code", name_of(why.code)).text("message", why.message).text("cure", why.cure);
    write_all(STDERR_FILENO, json_object().raw("error", inner.done()).done() + "\n");
    return;
  }
  const std::string_view mark = errors_in_color ? "\033[1;31merror:\033[0m " : "";
  write_all(STDERR_FILENO, "gantry: " + std::string(mark) + printable(why.text()) + "\n");
}

void say_note(std::string_view text) {
  write_all(STDERR_FILENO, "gantry: " + printable(text) + "\n");
}

void print(std::string_view text) {
  if (const int err = write_all(STDOUT_FILENO, text); err != 0)
    end_after_failed_write(err);
}

void end_after_failed_write(int err) {
  put_terminal_back();
  if (err != EPIPE)
    say_error(from_errno(err, "write to", "stdout"));
  std::_Exit(err == EPIPE ? 128 + SIGPIPE : 125);
}

} // namespace gantry::cli
