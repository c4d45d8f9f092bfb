#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/arena.hpp"
#include "io/log_files.hpp"
#include "io/loop.hpp"
#include "io/page_buffer.hpp"
#include "io/shelf.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// How a process's output is kept: policy, plain data.
struct log_policy {
  uint64_t max_file_bytes = 64ull << 20; ///< A new file begins above.
  uint32_t max_files = 10;               ///< The oldest is removed above.
  uint32_t max_line_bytes = 1u << 20;    ///< A longer line is cut into several records.
  bool drop_when_full = false;           ///< On a full disk: drop and count, else block the writer.
};

/// Totals of a log.
struct log_totals {
  std::array<uint64_t, 2> bytes{};   ///< stdout, stderr: bytes that the log holds.
  std::array<uint64_t, 2> dropped{}; ///< Bytes given up by the policy.
  std::array<bool, 2> closed{};      ///< End of file seen.
  uint64_t file_seq = 0;
  uint64_t file_offset = 0;
};

/// Free and used blocks of the arena's pool, and what the pumps share besides: a scratch
/// pipe, spare output buffers. Made once per arena, before any pump; the blocks that live
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

private:
  friend class pump;

  arena arena_;
  std::vector<int32_t> free_small_, free_large_;
  std::vector<bool> busy_;
  size_t used_ = 0;
  std::array<fd, 2> scratch_; ///< A pipe to look into short reads: always empty between uses.
  std::vector<page_buffer> spare_;
  std::array<uint64_t, 64> random_{}; ///< From the kernel, for nonces.
  size_t random_used_ = random_.size();
};

/// Moves the output of one process into its log, byte-exact across `kill -9`. Reads only
/// what FIONREAD promises, under a nonce in an arena block; formats as Docker's json-file
/// records, a pure function of bytes and arrival time; writes with pwrite at the recorded
/// offset; then changes the position in one store. One batch at a time.
///
/// Cost per batch at rest: poll, FIONREAD, read, one pwrite on a worker; no allocation but
/// the output buffer, which lives only while a batch is in flight.
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

  /// Takes over the slot of this serial after a crash: finishes or drops the batch that was
  /// under way (synchronously: for the start only), then goes on.
  result<void> resume(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on);

  /// Drains what is in the pipes now: calls `f` when both streams gave end of file or
  /// EAGAIN after everything readable was logged. `f` gets true if a stream is still open.
  void drain(std::function<void(bool io_open)> f);

  /// Stops reading, writes out an unfinished last line, frees the slot and the blocks;
  /// `f` is called when no op is in flight. The totals stay readable until destruction.
  void finish(std::function<void()> f);

  /// Only waits for the ops in flight and leaves the slot as it is, for a resume.
  void stop(std::function<void()> f);

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
