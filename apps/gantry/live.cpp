#include "apps/gantry/live.hpp"

#include <cerrno>
#include <chrono>

#include <poll.h>
#include <unistd.h>

namespace gantry::cli {

namespace {

constexpr int64_t usual_interval_ns = 1'000'000'000;

/// Waits without anything to wait for.
void pause_for(std::chrono::nanoseconds length) {
  const auto until = std::chrono::steady_clock::now() + length;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      until - std::chrono::steady_clock::now());
    if (left.count() <= 0)
      return;
    ::poll(nullptr, 0, static_cast<int>(left.count()));
  }
}

/// The frame over the one before: each line erases the rest of what stood there.
std::string over_the_last(const std::string& text) {
  std::string out = "\033[H";
  for (char c : text)
    out += c == '\n' ? std::string("\033[K\n") : std::string(1, c);
  return out + "\033[J";
}

} // namespace

bool is_live(const session& s) {
  if (s.opt.no_stream)
    return false;
  return s.opt.interval_ns || (::isatty(STDOUT_FILENO) == 1 && !s.opt.json);
}

int show_live(const session& s, const std::function<result<std::string>()>& frame) {
  const bool redraws = ::isatty(STDOUT_FILENO) == 1 && !s.opt.json && s.opt.format.empty();
  const std::chrono::nanoseconds interval(s.opt.interval_ns.value_or(usual_interval_ns));
  for (bool first = true;; first = false) {
    auto text = frame();
    if (!text)
      return failed(text.why());
    print(redraws ? (first ? "\033[2J" : "") + over_the_last(*text) : *text);
    pause_for(interval);
  }
}

} // namespace gantry::cli
