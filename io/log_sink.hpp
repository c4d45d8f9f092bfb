#pragma once

#include <memory>
#include <mutex>
#include <spdlog/logger.h>
#include <spdlog/sinks/sink.h>
#include <string>

#include "io/loop.hpp"

namespace gantry::io {

/// A sink for spdlog that never blocks the loop: lines wait in bounded memory and the ring
/// writes them, one write at a time, whatever the descriptor is (a full pipe or a hung disk
/// holds an io-wq worker, not us). The flags of the descriptor stay as they are: others
/// share it. What finds no room is dropped, counted, and said in the log as soon as there
/// is room again.
///
/// A line looks like `2026-11-25T22:45:01.123Z info container started id=web pid=4711`.
///
/// Any thread may log; everything else is for the loop's thread. Destroy it after `close`.
class log_sink final : public spdlog::sinks::sink, public turn_hook {
public:
  /// @param fd Where lines go; not owned.
  /// @param capacity Bytes of lines that may wait.
  explicit log_sink(int fd, size_t capacity = 256 * 1024);
  ~log_sink() override;

  /// From now on the loop writes. Before that, and after `close`, lines are kept and
  /// written by `flush_now` only.
  void open(loop& l);

  /// Waits at most `limit` for what is under way, gives the loop up, writes out the rest
  /// as `flush_now` does.
  void close(nanoseconds limit);

  /// Writes what waits as long as the descriptor takes it without waiting. For the end of
  /// the process: also from a signal handler of a fatal signal, where it is best effort
  /// (lines being added at that moment are left out).
  void flush_now() noexcept;

  [[nodiscard]] uint64_t dropped() const; ///< Lines given up so far.
  [[nodiscard]] size_t waiting() const;   ///< Bytes that wait.

  // spdlog::sinks::sink
  void log(const spdlog::details::log_msg& msg) override;
  void flush() override {} ///< The loop does that; spdlog's own moment would block.
  void set_pattern(const std::string& pattern) override;
  void set_formatter(std::unique_ptr<spdlog::formatter> f) override;

  // turn_hook
  void run_some() override;
  [[nodiscard]] bool ready() const noexcept override;
  [[nodiscard]] nanoseconds deadline() const noexcept override { return nanoseconds::max(); }

private:
  class write_line;
  void note_drops();
  void written(int32_t res);
  bool add(std::string_view line);

  int fd_;
  size_t capacity_;
  mutable std::mutex mutex_; ///< Guards what follows, up to the next blank line.
  std::unique_ptr<spdlog::formatter> formatter_;
  std::string lines_; ///< Wait for the next write.
  uint64_t dropped_ = 0;
  uint64_t dropped_said_ = 0;

  std::string in_write_; ///< What the kernel is writing now, from `write_at_` on.
  size_t write_at_ = 0;
  loop* loop_ = nullptr;
  std::unique_ptr<write_line> op_;
  std::atomic<bool> pending_{false};
  bool broken_ = false; ///< The descriptor refused for good (EPIPE, EBADF): lines are dropped.
};

/// Makes the sink's logger that of this thread (io/log.hpp), level info, and flushes it when
/// the process dies of SIGABRT, SIGSEGV, SIGBUS, SIGFPE or SIGILL. Call once in main: a
/// program that embeds a supervisor keeps its own handlers.
std::shared_ptr<spdlog::logger> use_as_this_log(std::shared_ptr<log_sink> sink);

} // namespace gantry::io
