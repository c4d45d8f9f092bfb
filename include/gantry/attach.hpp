#pragma once

#include <functional>
#include <memory>

#include <gantry/streams.hpp>

namespace gantry {

/// What becomes of output while its reader does not take it.
enum class slow_reader {
  hold,      ///< The process waits for the reader, up to `patience`; then as `leave_out`.
  leave_out, ///< What does not fit is left out, counted and told. The log has it.
};

/// Output that a reader does not get.
struct attach_gap {
  uint32_t stream = 1;        ///< 1 stdout, 2 stderr.
  uint64_t bytes = 0;         ///< Left out: the reader was slow.
  uint64_t missing_files = 0; ///< Of the log, that rotation removed before they were read.
  uint64_t at = 0;            ///< So many bytes of the stream came through its pipe before.
};

/// How one joins a process's streams.
struct attach_options {
  container_ref ref{};
  std::string process{};   ///< Empty: init.
  uint64_t instance = 0;   ///< 0: the current one.
  bool in = false;         ///< False: only reads. Sizes of a terminal need it, too.
  bool out = true;
  bool err = true;         ///< A terminal has none: it is out's.
  bool replay = false;     ///< From the first byte that the log has; false: from now on.
  std::string cursor{};    ///< Of an earlier attachment: right behind it, whatever `replay` says.
  bool close_stdin = false; ///< The end of `in` ends the process's stdin, for good.
  slow_reader when_slow = slow_reader::hold;
  std::optional<nanoseconds> patience{}; ///< None: 10 s.
  /// Output that may wait at the supervisor; 0: 1 MiB, else 64 KiB to 16 MiB. What waits here
  /// besides is less than 2 MiB.
  uint32_t queue_bytes = 0;

  /// Called where output is missing, on the library's thread.
  std::function<void(const attach_gap&)> on_gap{};
  /// Called once, on the library's thread, behind the last byte: the exit of the process, or why
  /// there is no more output. Not called for who has left before.
  std::function<void(const result<exit_report>&)> on_end{};
};

/// A place at a running process's streams, beside any number of others: of a container or an
/// exec, also of one that was found again after this program or the supervisor had died.
///
/// The streams are those of an `io_bundle`, but for this: output comes as the process writes it
/// (`io_bundle` reads the log). `out` and `err` share one queue, in the order of the process:
/// while one of them is full the other waits, too; one that is closed costs nothing. They come to
/// their end with the process, with `detach`, and when the supervisor is lost for good; not when
/// it is killed and comes back: then all goes on, behind the last byte of output that came
/// and the last byte of input that was taken.
///
/// `close` (and the end of this object) leaves the process as it is, but for `close_stdin`; what
/// was written to `in` before still reaches it.
///
/// `in`, `out` and what they are asked with: one object, one thread at a time. The functions below:
/// any thread. It may outlive the supervisor handle: the streams then are at their end.
class GANTRY_API attachment : public io_bundle {
public:
  attachment() = default;

  [[nodiscard]] uint64_t instance() const noexcept { return instance_; } ///< Of the container.
  [[nodiscard]] uint32_t run() const noexcept { return run_; }           ///< Of the container.

  /// How many bytes of input the process has been given in its life, by anybody: who sent input
  /// and died (or whose supervisor did) goes on from here, and sends no byte twice.
  [[nodiscard]] uint64_t stdin_offset() const;

  /// Behind what was read from `out` and `err`: attach with it another day, and no byte is
  /// missing (a few may come twice). Once the streams have come to their end: behind all of them.
  [[nodiscard]] std::string cursor() const;

  /// So many bytes of a stream (1 or 2) were left out until now.
  [[nodiscard]] uint64_t left_out(uint32_t stream) const;

  /// How the process ended; none: it has not, or this was over before.
  [[nodiscard]] std::optional<exit_report> exit() const;

  /// The size of its terminal; again after a restart of the supervisor.
  /// `wrong_state`: it has none. `permission_denied`: attached without `in`.
  result<void> resize(terminal_size size);

  /// Leaves: `out` and `err` end behind what they hold, `in` is broken, the process goes on and
  /// keeps its stdin. Input that was not taken yet is given up (`stdin_offset` tells how far it
  /// came). When it returns nothing more is called. @returns The cursor behind all that was handed
  /// on: read the streams to their end, and it is exact.
  std::string detach();

  struct joined; ///< INTERNAL.

private:
  friend class attach_access;
  uint64_t instance_ = 0;
  uint32_t run_ = 0;
  std::shared_ptr<joined> joined_;
};

} // namespace gantry
