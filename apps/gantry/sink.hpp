#pragma once

#include <deque>
#include <string>
#include <string_view>

#include <poll.h>

namespace gantry::cli {

/// An output that is never waited for: what it does not take is kept, and `poll` says when
/// it takes more. So a reader that is slow keeps nobody from hearing signals.
class sink {
public:
  /// @param fd Stays the caller's, and stays as blocking as it is: pipes and terminals are
  ///   opened once more through /proc for a description of our own. Where that cannot be
  ///   done, writes are as blocking as `fd`.
  explicit sink(int fd);
  ~sink();
  sink(const sink&) = delete;
  sink& operator=(const sink&) = delete;

  void put(std::string bytes);

  /// Writes what it takes now. Ends the program when the reader has gone.
  void flush();

  /// Bytes that wait.
  [[nodiscard]] size_t waiting() const noexcept { return waiting_; }

  /// For poll: waits for room if there is something to write.
  [[nodiscard]] pollfd want() const noexcept { return {waiting_ > 0 ? fd_ : -1, POLLOUT, 0}; }

private:
  int fd_;
  bool owned_ = false;
  std::deque<std::string> queue_;
  size_t offset_ = 0; ///< Of the first in the queue.
  size_t waiting_ = 0;
};

} // namespace gantry::cli
