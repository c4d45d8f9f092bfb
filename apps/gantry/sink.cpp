#include "apps/gantry/sink.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "apps/gantry/say.hpp"

namespace gantry::cli {

namespace {

/// Small pieces are gathered, so that a line each is not a system call each.
constexpr size_t gather_below = 64u << 10;

} // namespace

sink::sink(int fd) : fd_(fd) {
  struct stat what {};
  if (::fstat(fd, &what) != 0 || !(S_ISFIFO(what.st_mode) || ::isatty(fd) == 1))
    return; // A file takes everything at once.
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const int own = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own < 0)
    return;
  fd_ = own;
  owned_ = true;
}

sink::~sink() {
  if (owned_)
    ::close(fd_);
}

void sink::put(std::string bytes) {
  waiting_ += bytes.size();
  if (!queue_.empty() && queue_.back().size() + bytes.size() <= gather_below)
    queue_.back() += bytes;
  else if (!bytes.empty())
    queue_.push_back(std::move(bytes));
}

void sink::flush() {
  constexpr size_t most_pieces = 64;
  while (waiting_ > 0) {
    std::array<iovec, most_pieces> pieces{};
    const size_t n = std::min(queue_.size(), most_pieces);
    for (size_t i = 0; i < n; ++i)
      pieces[i] = {queue_[i].data(), queue_[i].size()};
    pieces[0] = {queue_[0].data() + offset_, queue_[0].size() - offset_};
    const ssize_t written = ::writev(fd_, pieces.data(), static_cast<int>(n));
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0 && errno == EAGAIN)
      return;
    if (written < 0)
      end_after_failed_write(errno);
    waiting_ -= static_cast<size_t>(written);
    offset_ += static_cast<size_t>(written);
    while (!queue_.empty() && offset_ >= queue_.front().size()) {
      offset_ -= queue_.front().size();
      queue_.pop_front();
    }
  }
}

} // namespace gantry::cli
