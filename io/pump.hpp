#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/arena.hpp"
#include "io/log_files.hpp"
#include "io/log_format.hpp"
#include "io/loop.hpp"
#include "io/page_buffer.hpp"
#include "io/shelf.hpp"
#include "io/stage.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// What happens when a log cannot keep up: the disk refuses or hangs, or the rate is over its
/// limit.
enum class log_full : uint8_t {
  block,       ///< The writer waits.
  drop_oldest, ///< He does not: what waits longest is given up, whole lines, and counted.
  drop_newest, ///< He does not: what comes is given up, whole lines, and counted.
};

/// `block`, `drop-oldest`, `drop-newest`.
std::optional<log_full> log_full_named(std::string_view name) noexcept;

/// How a process's output is kept: policy, plain data.
struct log_policy {
  log_format format = log_format::json_file;
  uint64_t max_file_bytes = 64ull << 20; ///< No file is larger, but for a single record that is.
  uint32_t max_files = 10;               ///< The oldest is removed above.
  uint32_t max_line_bytes = 1u << 20;    ///< A longer line is cut into several records.
  nanoseconds max_age{0};                ///< A new file begins when one is older; 0: never.
  bool pack = false;                     ///< Files that are complete get packed by the owner.
  log_full when_full = log_full::block;
  uint64_t rate_bytes = 0;  ///< Of the streams together, a second; 0: no limit. Not for last words.
  uint64_t burst_bytes = 0; ///< That may come at once; 0: those of one second.
};

/// Totals of a log.
struct log_totals {
  std::array<uint64_t, 2> bytes{};   ///< stdout, stderr: bytes that the log holds.
  std::array<uint64_t, 2> dropped{}; ///< Bytes given up by the policy.
  std::array<bool, 2> closed{};      ///< End of file seen.
  uint64_t file_seq = 0;
  uint64_t file_offset = 0;
  nanoseconds limited{0}; ///< So long this pump has waited for its rate.
};

/// Free and used blocks of the arena's pool, and what the pumps share besides: the stage,
/// spare output buffers. Made once per arena, before any pump; the blocks that live
/// log slots hold are claimed by that, and what a crash left in the others is given back.
/// Outlives the pumps, and ends before the kernel object.
class block_pool {
public:
  explicit block_pool(arena a);
  int32_t take(bool large);  ///< -1 when there is none.
  void give(int32_t index);  ///< Returns its memory to the kernel (MADV_REMOVE).
  void claim(int32_t index); ///< It is in use; harmless when it was known.
  [[nodiscard]] size_t used() const noexcept { return used_; }
  /// Fewer than a quarter of the small ones are free: unfinished lines should leave theirs.
  [[nodiscard]] bool scarce() const noexcept;
  /// Where every batch goes through. The first pump opens it, if it was not taken before.
  [[nodiscard]] stage& the_stage() noexcept { return stage_; }

private:
  friend class pump;

  arena arena_;
  std::vector<int32_t> free_small_, free_large_;
  std::vector<bool> busy_;
  size_t used_ = 0;
  stage stage_;
  std::vector<page_buffer> spare_;
  std::array<uint64_t, 64> random_{}; ///< From the kernel, for nonces.
  size_t random_used_ = random_.size();
};

/// Moves the output of one process into its log, byte-exact across `kill -9`. Takes each batch
/// through the stage into an arena block; makes records of it, a pure function of bytes and
/// arrival time; writes with pwrite at the recorded offset; then changes the position in one
/// store. One batch at a time.
///
/// Cost per batch at rest: poll, FIONREAD, splice, read, one pwrite on a worker (two in the raw
/// format); no allocation but the output buffer, which lives only while a batch is in flight.
class pump {
public:
  /// What the owner hears of, on the loop, never from inside a call of his own.
  struct events {
    std::function<void()> grown;            ///< The log has more bytes (for followers).
    std::function<void(int stream)> closed; ///< A stream came to its end.
    /// The log disk refuses; the writer waits (or: dropping began).
    std::function<void(const error&)> blocked;
    std::function<void()> unblocked;
    /// Bytes as they come, before they are logged: `offset` counts the stream's bytes. The
    /// span dies with the call.
    std::function<void(int stream, uint64_t offset, std::span<const char> bytes)> came;
    /// Files below this number are complete.
    std::function<void(uint64_t file_seq)> rotated;
    /// Bytes were given up by the policy: the totals have their number.
    std::function<void(const log_totals&)> dropped;
  };

  pump(loop& l, shelf& keeper, block_pool& pool, log_policy policy);
  ~pump(); ///< Only at rest: see `stop`.

  /// Before `begin` or `resume`: stdout is the master of a terminal. The end of such a stream
  /// is EIO, and of a read of fewer than 16 bytes a crash may leave open whether it happened.
  void is_terminal() noexcept;

  /// Begins a new log in the directory `dir` (exists). Takes an arena slot.
  /// @param fds Read ends of stdout and stderr, O_NONBLOCK, owned by the pump from here;
  ///            an empty one counts as closed.
  result<void> begin(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on);

  /// Takes over the slot of this serial after a crash, and goes on where the log stood.
  result<void> resume(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on);

  /// Drains what is in the pipes now: calls `f` when both streams gave end of file or
  /// EAGAIN after everything readable was logged. `f` gets true if a stream is still open.
  void drain(std::function<void(bool io_open)> f);

  /// Calls `f` once, when both streams have come to their end and everything is logged; never
  /// if `finish` or `stop` comes first.
  void at_end(std::function<void()> f);

  /// Stops reading, writes out an unfinished last line, frees the slot and the blocks;
  /// `f` is called when no op is in flight. The totals stay readable until destruction.
  void finish(std::function<void()> f);

  /// Only waits for the ops in flight and leaves the slot as it is, for a resume.
  void stop(std::function<void()> f);

  /// Goes on in a new file: nothing more is written into the present one, whatever its name is
  /// now. `f` gets the new file's number, when that is so; 0 when the log is at its end.
  void reopen(std::function<void(uint64_t file_seq)> f);

  [[nodiscard]] log_totals totals() const;

  /// Of a terminal after `resume`: so many bytes may have been lost in the crash.
  [[nodiscard]] uint32_t maybe_lost() const noexcept;

  /// What was read of a stream and is not in the log's files yet. Dies with the next turn.
  [[nodiscard]] std::string_view unlogged(int stream) const noexcept;

  /// Reads nothing while held, so that the writer waits, but for a `drain`.
  void hold(bool on);

  /// Where the slot keeps how far stdin was taken; null without a slot. Zero in a new one.
  [[nodiscard]] std::atomic<uint64_t>* stdin_taken() noexcept;

  /// The same of how far a stream was passed on to its FIFO.
  [[nodiscard]] std::atomic<uint64_t>* relayed(int stream) noexcept;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// The totals in the arena of a log that has no pump yet (recovery); false if there is none.
bool totals_in_arena(const arena& a, uint64_t serial, log_totals& out);

/// Frees the slot of this serial and its blocks, if there is one (recovery of what is gone).
void discard_slot(const arena& a, block_pool& pool, uint64_t serial);

} // namespace gantry::io
