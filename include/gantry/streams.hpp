#pragma once

#include <memory>

#include <gantry/types.hpp>

namespace gantry {

/// Which streams of a process, and from where.
struct io_options {
  container_ref ref{};
  std::string process{}; ///< Empty: init.
  uint64_t instance = 0; ///< 0: the current one.
  bool in = false;       ///< Needs a process with stdin.
  bool out = true;
  bool err = true;       ///< A terminal has none: it is out's.
  bool follow = true;    ///< Until the process has exited and all is read; false: what there is.
  uint64_t tail = 0;     ///< Only the last so many lines; 0: from the first byte on.
  moment since{};        ///< Only what came at this time or later; the epoch: all.
  moment until{};        ///< Only what came before; a follower ends with what comes later.
  std::string grep{};    ///< Only lines that hold these bytes.
};

/// The streams of a process as descriptors: ordinary pipes, blocking, close-on-exec.
///
/// `out` and `err` come to their end when the process has exited and all it wrote was read.
/// They are fed from the log, so a byte that is not read yet is not lost, whoever dies
/// meanwhile; each waits for its own reader alone. Ending `in` ends the process's stdin, for
/// good. After the process has closed its stdin, a write to `in` fails with EPIPE (and SIGPIPE,
/// as for any pipe: gantry changes nothing about your signals).
///
/// One object, one thread at a time. It may outlive the supervisor handle: the streams then
/// are at their end.
class GANTRY_API io_bundle {
public:
  io_bundle() = default;
  io_bundle(io_bundle&& other) noexcept;
  io_bundle& operator=(io_bundle&& other) noexcept;
  ~io_bundle(); ///< Closes what is open.

  [[nodiscard]] int in() const noexcept { return fds_[0]; }  ///< Write here; -1: missing.
  [[nodiscard]] int out() const noexcept { return fds_[1]; } ///< Read here; -1: missing.
  [[nodiscard]] int err() const noexcept { return fds_[2]; } ///< Read here; -1: missing.

  /// The process has a terminal: there is no separate `err`.
  [[nodiscard]] bool terminal() const noexcept { return terminal_; }

  /// The descriptor is yours to close from now on.
  int release_in() noexcept { return std::exchange(fds_[0], -1); }
  int release_out() noexcept { return std::exchange(fds_[1], -1); }
  int release_err() noexcept { return std::exchange(fds_[2], -1); }

  result<void> close_in(); ///< The process sees the end of its stdin.

  /// Closes all three and returns the first error. Missing ones are no error.
  result<void> close();

  /// What broke a stream before its end, if anything did (the supervisor went away, the log
  /// is damaged). Of use when `out` or `err` has come to its end.
  [[nodiscard]] result<void> trouble() const;

  struct shared; ///< INTERNAL.

private:
  friend class stream_access;
  int fds_[3] = {-1, -1, -1};
  bool terminal_ = false;
  std::shared_ptr<shared> shared_;
};

} // namespace gantry
