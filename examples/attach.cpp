// Joins the streams of a running container: its output comes here, our stdin goes there.
//
//   attach SOCKET CONTAINER [CURSOR]       (a cursor: where an earlier one was)
//
// It goes on when gantryd is killed and comes back. At the end of our stdin it stays until the
// process has ended; how it was is said on stderr.

#include <cstdio>
#include <thread>
#include <unistd.h>

#include <gantry/gantry.hpp>

namespace {

int failed(const gantry::error& why) {
  std::fprintf(stderr, "attach: %s\n", why.text().c_str());
  return 1;
}

void copy(int from, int to) {
  char part[4096];
  for (ssize_t n; (n = ::read(from, part, sizeof(part))) > 0;)
    for (ssize_t at = 0, w = 0; at < n && (w = ::write(to, part + at, size_t(n - at))) > 0;)
      at += w;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: attach SOCKET CONTAINER [CURSOR]\n");
    return 64;
  }
  auto connected = gantry::supervisor::connect({.socket = argv[1]});
  if (!connected)
    return failed(connected.why());
  gantry::attach_options what;
  what.ref = argv[2];
  what.in = true;
  what.replay = argc == 3;
  what.cursor = argc == 4 ? argv[3] : "";
  what.close_stdin = true;
  auto joined = (*connected)->attach(what).get();
  if (!joined)
    return failed(joined.why());

  std::thread input([in = joined->release_in()] {
    copy(STDIN_FILENO, in);
    ::close(in);
  });
  input.detach(); // It may wait for a key that never comes.
  std::thread errors([&joined] { copy(joined->err(), STDERR_FILENO); });
  copy(joined->out(), STDOUT_FILENO);
  errors.join();
  if (auto fine = joined->trouble(); !fine)
    return failed(fine.why());
  const auto exit = joined->exit();
  std::fprintf(stderr, "attach: exit %d, input %llu, cursor %s\n",
               exit ? exit->shell_code() : 255,
               static_cast<unsigned long long>(joined->stdin_offset()),
               joined->cursor().c_str());
  return 0;
}
