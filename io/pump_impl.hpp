#pragma once

#include "io/log_output.hpp"
#include "io/log_records.hpp"
#include "io/log_state.hpp"
#include "io/poll.hpp"
#include "io/pump.hpp"
#include "io/raw_log.hpp"

namespace gantry::io {

/// The pump's inside. One thought runs through it: `advance` looks at where things stand
/// and does the next step; whatever ends (a poll, a write, a timer) calls `advance` again.
///
/// Where things stand is the position in the arena: of each stream, `tail` bytes behind
/// `head` in its block are read and not logged. Only the stream of the last batch can have
/// whole lines among them, so that after a crash the same records are made of the same
/// bytes, for the same place in the file.
struct pump::impl {
  /// One of the two streams.
  struct stream {
    explicit stream(loop& l) : poll(l) {}
    fd in;
    poll_op poll;
    uint32_t pipe_bytes = 64u << 10; ///< What the pipe holds, as far as we set it.
    uint32_t known = 0;              ///< So many bytes behind `head` hold no newline.
    uint32_t drain_left = 0;         ///< Of what was in the pipe when a drain began.
    bool may_grow = true;            ///< The kernel has not refused a larger pipe.
    bool hung_up = false;            ///< The poll saw the last writer leave.
    bool tell_closed = false;        ///< The owner has not heard of the end yet.
    bool shut = false;               ///< Close `in` when the poll is at rest.
  };

  enum class goal : uint8_t { run, finish, stop, rest };
  enum class work : uint8_t { none, write, retry, limited };

  impl(loop& l, shelf& keeper, block_pool& pool, log_policy policy);
  ~impl();

  // -- pump.cpp: life ---------------------------------------------------------------
  result<void> begin(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on);
  result<void> resume(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on);
  bool open_stage();
  void adopt(std::string dir, std::array<fd, 2> fds, events on);
  void drain(std::function<void(bool)> f);
  void at_end(std::function<void()> f);
  void end(goal how, std::function<void()> f);
  void end_limit();
  void reopen(std::function<void(uint64_t)> f);
  void later(); ///< `advance` from a turn of the loop.
  void advance();
  bool report();
  bool settle_drain();
  bool tell_end();
  bool flush_next();
  void come_to_rest();
  void release_blocks();

  // -- pump_batch.cpp: from the pipe into the arena -------------------------------------
  struct landing {
    int32_t block = -1;
    uint32_t head = 0; ///< Where the unfinished line stands then.
    uint32_t room = 0; ///< Bytes that can be read behind it.
  };
  landing find_landing(size_t s, uint32_t wanted);
  bool read_stream(size_t s);
  bool read_batch(size_t s, uint32_t wanted);
  void take_batch(size_t s, const landing& where, uint32_t wanted);
  void skip_line(size_t s);
  void intend(size_t s, const landing& where, uint32_t count);
  void try_later();
  void next_nonce(uint64_t (&nonce)[2]);
  uint32_t read_terminal(size_t s);
  int readable(size_t s);
  bool has_ended(size_t s);
  void flush(size_t s);
  void end_stream(size_t s);
  void shut_stream(size_t s);
  void watch(size_t s);
  void grow_pipe(size_t s, uint32_t found);

  // -- pump_write.cpp: from the arena into the files ----------------------------------------
  bool write_records();
  bool write_lines();
  bool write_raw();
  bool make_records();
  [[nodiscard]] size_t at_once() const;
  bool new_file_due() const;
  bool begin_file();
  void rotate();
  void written(int32_t res);
  void commit(uint64_t file_bytes, bool dropped);
  void refused(int err);
  void try_again(work why, nanoseconds pause);
  void give_buffer();
  void touch();
  void when_quiet();
  void shrink_stream(size_t s);
  void leave_block(size_t s);

  // -- pump_relief.cpp: when the log cannot keep up -----------------------------------------
  bool over_rate();
  void watch_for_relief();
  void relieve();
  void relieve_stream(size_t s, uint32_t there);
  void drop_front(size_t s);
  void drop_unfinished(size_t s);

  [[nodiscard]] std::span<char> block_of(const log_position& p, size_t s) const {
    return arena_.block(p.block[s]);
  }
  [[nodiscard]] bool is_terminal(size_t s) const noexcept { return terminal_ && s == 0; }
  [[nodiscard]] bool open(size_t s) const { return state_.at().closed[s] == 0; }

  loop& loop_;
  shelf& keeper_;
  block_pool& pool_;
  arena arena_;
  log_policy policy_;
  log_state state_;
  std::unique_ptr<log_output> sink_;
  events on_;
  stream streams_[2];
  page_buffer out_;          ///< Records under way to the file.
  uint32_t taken_ = 0;       ///< Stream bytes that they hold …
  size_t writing_ = 0;       ///< … of this stream.
  std::array<char, raw_entry_bytes> entry_{}; ///< For the index.
  uint64_t garbage_end_ = 0; ///< A refused write may have left bytes up to here.
  timer retry_;              ///< After a refused write, or without memory.
  timer quiet_;
  timer relief_;
  double tokens_ = 0;        ///< Bytes that the rate allows now; below 0: a debt.
  nanoseconds filled_{0};    ///< When that was reckoned.
  nanoseconds write_from_{0}; ///< When the write under way began.
  nanoseconds active_{0};    ///< When something was last read or written.
  nanoseconds finish_by_{0}; ///< After it, a finish no longer waits for the disk.
  log_totals totals_;        ///< Kept when the slot is gone.
  std::function<void(bool)> drained_;
  std::function<void()> all_closed_; ///< Who waits for the end of both streams.
  std::function<void()> ended_;
  std::vector<std::function<void(uint64_t)>> reopened_; ///< Wait for a new file.
  std::shared_ptr<impl*> alive_; ///< What is posted looks here whether we still are.
  uint8_t refusals_ = 0;
  uint8_t turn_ = 0; ///< Which stream is asked first.
  goal goal_ = goal::rest;
  work work_ = work::none;
  bool terminal_ = false;    ///< stdout is the master of a terminal.
  bool held_ = false;        ///< Nothing is read but for a drain.
  uint32_t maybe_lost_ = 0;
  bool unformatted_ = false; ///< The last batch may hold whole lines.
  bool posted_ = false;
  bool blocked_ = false; ///< The owner was told so.
  bool grown_ = false;   ///< The owner has not heard of it yet.
  bool rotated_ = false; ///< Nor of this,
  bool dropped_ = false; ///< nor of this.
};

} // namespace gantry::io
