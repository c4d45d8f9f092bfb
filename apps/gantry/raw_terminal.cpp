#include "apps/gantry/raw_terminal.hpp"

#include <array>
#include <csignal>
#include <cstdlib>

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "messages/check.hpp"

namespace gantry::cli {

namespace {

constexpr std::array fatal{SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

/// The terminal that is to be put back; -1: none.
volatile sig_atomic_t raw_fd = -1;
termios before;

void put_back() {
  if (raw_fd >= 0)
    ::tcsetattr(raw_fd, TCSADRAIN, &before);
  raw_fd = -1;
}

/// tcsetattr is safe in a handler (signal-safety(7)).
void put_back_and_die(int signal) {
  put_back();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void make_raw(int fd) {
  termios raw = before;
  ::cfmakeraw(&raw);
  ::tcsetattr(fd, TCSADRAIN, &raw);
}

} // namespace

raw_terminal::raw_terminal(int fd) {
  GANTRY_CHECK(raw_fd < 0);
  if (::tcgetattr(fd, &before) != 0)
    return;
  static const bool once = std::atexit(put_back) == 0;
  static_cast<void>(once);
  for (const int s : fatal)
    ::signal(s, put_back_and_die);
  raw_fd = fd;
  make_raw(fd);
}

void put_terminal_back() {
  put_back();
}

raw_terminal::~raw_terminal() {
  put_back();
}

void raw_terminal::again() {
  if (raw_fd >= 0)
    make_raw(raw_fd);
}

v1::TerminalSize terminal_size_of(int fd) {
  v1::TerminalSize out;
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    return out;
  out.set_width(size.ws_col);
  out.set_height(size.ws_row);
  return out;
}

} // namespace gantry::cli
