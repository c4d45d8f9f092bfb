#include <algorithm>
#include <cstring>

#include "io/pump_impl.hpp"

namespace gantry::io {

namespace {

/// Records of one write: more wait for the next, so that memory stays bounded whatever the
/// batch holds (a newline alone becomes 70 bytes).
constexpr size_t enough_for_a_write = 512u << 10;
/// Output buffers that are kept for the next write of any pump.
constexpr size_t spare_buffers = 2;
constexpr size_t largest_spare = 2u << 20;

/// A rate that allows less still lets so many bytes go at once, and waits the longer for it.
constexpr size_t least_limited = 4096;

constexpr nanoseconds block_idle = std::chrono::milliseconds(200);
constexpr nanoseconds file_idle = std::chrono::seconds(10);
constexpr nanoseconds first_retry = std::chrono::seconds(1);
constexpr nanoseconds last_retry = std::chrono::seconds(5);

constexpr uint32_t usual_pipe = 64u << 10;

/// Where the lines end that begin with the first `most` bytes: one at least, if it has its end.
size_t whole_lines_of(std::string_view pending, size_t most) {
  if (pending.size() <= most)
    return pending.size();
  size_t newline = pending.rfind('\n', most - 1);
  if (newline == std::string_view::npos)
    newline = pending.find('\n', most);
  return newline == std::string_view::npos ? pending.size() : newline + 1;
}

} // namespace

/// Begins to write what the last batch completed. @returns false if there is nothing to write.
bool pump::impl::write_records() {
  const log_position& p = state_.at();
  if (p.tail[p.batch_stream] == 0) {
    unformatted_ = false;
    return false;
  }
  if (over_rate())
    return true;
  return policy_.format == log_format::raw ? write_raw() : write_lines();
}

bool pump::impl::write_lines() {
  if (out_.capacity() == 0 && !pool_.spare_.empty()) {
    out_ = std::move(pool_.spare_.back());
    pool_.spare_.pop_back();
  }
  taken_ = 0;
  // Where a file's end must be made good first, that is all of this write.
  if (!new_file_due() || begin_file()) {
    const bool full = make_records();
    if (taken_ == 0 && full && begin_file())
      make_records();
    if (taken_ == 0 && !full) {
      const log_position& p = state_.at();
      streams_[p.batch_stream].known = p.tail[p.batch_stream];
      unformatted_ = false;
      give_buffer();
      return false;
    }
  }
  const log_position& at = state_.at();
  // Refused writes may have left something here: what is longer than our records becomes
  // empty lines, which readers skip.
  if (const uint64_t end = at.file_offset + out_.size(); garbage_end_ > end) {
    const auto more = static_cast<size_t>(garbage_end_ - end);
    std::memset(out_.room(more), '\n', more);
    out_.grew(more);
  }
  writing_ = at.batch_stream;
  work_ = work::write;
  write_from_ = loop_.now();
  watch_for_relief();
  sink_->write(at.file_seq, at.file_offset, out_.bytes(), [this](int32_t res) { written(res); });
  return true;
}

/// Writes bytes as they lie in the arena. The block stays where it is until that has ended.
bool pump::impl::write_raw() {
  log_position p = state_.at();
  const bool index_full = p.index_offset + raw_entry_bytes > policy_.max_file_bytes;
  if (new_file_due() || index_full || p.file_offset >= policy_.max_file_bytes) {
    rotate();
    p = state_.at();
  }
  writing_ = p.batch_stream;
  std::string_view pending(block_of(p, writing_).data() + p.head[writing_], p.tail[writing_]);
  pending = pending.substr(0, at_once());
  const uint64_t room = policy_.max_file_bytes - p.file_offset;
  taken_ = static_cast<uint32_t>(raw_part(pending, room));
  entry_ = raw_entry_text(
    {p.file_offset + taken_, static_cast<uint8_t>(writing_), p.time_ns});
  work_ = work::write;
  write_from_ = loop_.now();
  watch_for_relief();
  sink_->write(p.file_seq, p.file_offset, pending.substr(0, taken_), p.index_offset, entry_,
               [this](int32_t res) { written(res); });
  return true;
}

/// Bytes of a stream that one write may hold for its rate's sake. Never few: a rate that is used up
/// would else let one short line through at a time, as often as the loop turns.
size_t pump::impl::at_once() const {
  if (policy_.rate_bytes == 0 || drained_ || goal_ == goal::finish)
    return SIZE_MAX;
  return std::max(static_cast<size_t>(std::max(tokens_, 0.0)), least_limited);
}

/// Makes records of what goes into the current file. @returns whether the next one does not.
bool pump::impl::make_records() {
  const log_position& p = state_.at();
  const size_t s = p.batch_stream;
  const std::string_view all(block_of(p, s).data() + p.head[s], p.tail[s]);
  const std::string_view pending = all.substr(0, whole_lines_of(all, at_once()));
  const uint64_t size = std::min(p.file_offset, policy_.max_file_bytes);
  const record_style style{.stream = static_cast<uint8_t>(s),
                     .time_ns = p.time_ns,
                     .max_line = policy_.max_line_bytes,
                     .enough = enough_for_a_write,
                     .to_end = p.flush != 0 && pending.size() == all.size(),
                     .room = policy_.max_file_bytes - size,
                     .fresh = p.file_offset == 0,
                     .format = policy_.format};
  bool full = false;
  taken_ = static_cast<uint32_t>(append_records(pending, streams_[s].known, style, out_, &full));
  return full;
}

/// Whether the next record belongs into a new file, however much room this one has.
bool pump::impl::new_file_due() const {
  const log_position& p = state_.at();
  const bool old = policy_.max_age.count() != 0 && p.file_offset != 0 &&
                   p.time_ns - p.born_ns >= policy_.max_age.count();
  return old || !reopened_.empty();
}

/// Goes on in a new file, unless this one's end must be made good first.
bool pump::impl::begin_file() {
  if (garbage_end_ > state_.at().file_offset && policy_.format != log_format::raw)
    return false;
  rotate();
  return true;
}

/// Goes on in a new file: no record of this one follows. One that is empty serves as a new one.
void pump::impl::rotate() {
  log_position next = state_.at();
  if (next.file_offset != 0 || garbage_end_ != 0) {
    ++next.file_seq;
    next.file_offset = next.index_offset = 0;
    state_.become(next);
    garbage_end_ = 0;
    rotated_ = true;
    if (next.file_seq > policy_.max_files)
      sink_->remove_through(next.file_seq - policy_.max_files);
  } else {
    sink_->close(); // Whatever has its name now is opened anew.
  }
  for (auto& f : std::exchange(reopened_, {}))
    loop_.post([f = std::move(f), seq = next.file_seq] { f(seq); });
}

void pump::impl::written(int32_t res) {
  work_ = work::none;
  if (res == -ENOENT && state_.at().file_offset != 0) {
    give_buffer(); // The file was moved while it was closed: the records go into a new one.
    rotate();
  } else if (res < 0)
    refused(-res);
  else
    commit(policy_.format == log_format::raw ? taken_ : out_.size(), false);
  advance();
}

/// The bytes of the write are where they belong (or given up): from now on that is true.
void pump::impl::commit(uint64_t file_bytes, bool dropped) {
  log_position next = state_.at();
  const size_t s = writing_;
  if (next.file_offset == 0)
    next.born_ns = next.time_ns;
  next.file_offset += file_bytes;
  if (policy_.format == log_format::raw && file_bytes != 0)
    next.index_offset += raw_entry_bytes;
  (dropped ? next.dropped : next.bytes)[s] += taken_;
  next.tail[s] -= taken_;
  next.head[s] = next.tail[s] == 0 ? 0 : next.head[s] + taken_;
  if (next.tail[s] == 0)
    next.flush = 0;
  state_.become(next);
  streams_[s].known = 0;
  unformatted_ = next.tail[s] != 0;
  give_buffer();
  if (next.tail[s] == 0 && next.closed[s] != 0)
    leave_block(s);
  touch();
  dropped_ |= dropped && taken_ != 0;
  if (dropped)
    return;
  tokens_ -= static_cast<double>(taken_);
  grown_ = true;
  refusals_ = 0;
  if (garbage_end_ <= next.file_offset)
    garbage_end_ = 0;
  if (std::exchange(blocked_, false) && on_.unblocked)
    on_.unblocked();
}

/// The disk does not take it: wait and try again. At the very end, give the bytes up.
void pump::impl::refused(int err) {
  const log_position& p = state_.at();
  const uint64_t size = policy_.format == log_format::raw ? taken_ : out_.size();
  garbage_end_ = std::max(garbage_end_, p.file_offset + size);
  if (!std::exchange(blocked_, true) && on_.blocked)
    on_.blocked(from_errno(err, "write the log", log_file_path(sink_->dir(), p.file_seq)));
  if (goal_ == goal::finish && loop_.now() >= finish_by_) {
    if (taken_ == 0) // Only this file's end was to be made good: it stays as it is.
      rotate();
    return commit(0, true);
  }
  // The records are made again from the same bytes.
  try_again(work::retry, std::min(first_retry * (1 << std::min<int>(refusals_, 3)), last_retry));
  ++refusals_;
}

void pump::impl::try_again(work why, nanoseconds pause) {
  give_buffer();
  work_ = why;
  retry_.start(pause, [this] {
    work_ = work::none;
    advance();
  });
  watch_for_relief();
}

void pump::impl::give_buffer() {
  out_.clear();
  page_buffer mine = std::move(out_);
  if (mine.capacity() != 0 && mine.capacity() <= largest_spare &&
      pool_.spare_.size() < spare_buffers)
    pool_.spare_.push_back(std::move(mine));
}

/// Something moved: what an idle log does not need is given back later.
void pump::impl::touch() {
  active_ = loop_.now();
  if (!quiet_.armed() && goal_ != goal::rest)
    quiet_.start(block_idle, [this] { when_quiet(); });
}

void pump::impl::when_quiet() {
  if (goal_ != goal::run || work_ != work::none)
    return; // The next commit brings us here again.
  const nanoseconds idle = loop_.now() - active_;
  if (idle < block_idle)
    return quiet_.start(block_idle - idle, [this] { when_quiet(); });
  for (size_t s = 0; s < 2; ++s)
    shrink_stream(s);
  pool_.spare_.clear();
  if (idle < file_idle)
    return quiet_.start(file_idle - idle, [this] { when_quiet(); });
  sink_->close();
  if (pool_.scarce() && flush_next())
    later();
}

/// A block without an unfinished line goes back, a short one leaves a large block, and a
/// large pipe is made small again (its slots are kernel memory).
void pump::impl::shrink_stream(size_t s) {
  const log_position& p = state_.at();
  const uint32_t small = arena_.header().shape.small_block_bytes;
  if (p.block[s] >= 0 && p.tail[s] == 0) {
    leave_block(s);
  } else if (p.block[s] >= 0 && arena_.is_large(p.block[s]) && p.tail[s] <= small / 2) {
    const int32_t block = pool_.take(false);
    if (block >= 0) {
      log_position next = p;
      std::memcpy(arena_.block(block).data(), block_of(p, s).data() + p.head[s], p.tail[s]);
      next.block[s] = block;
      next.head[s] = 0;
      const int32_t old = p.block[s];
      state_.become(next);
      pool_.give(old);
    }
  }
  stream& x = streams_[s];
  if (!x.in || x.pipe_bytes <= usual_pipe)
    return;
  if (const int size = loop_.sys().set_pipe_size(x.in.get(), int(usual_pipe)); size > 0)
    x.pipe_bytes = static_cast<uint32_t>(size);
}

/// Gives the stream's block back. Only without an unfinished line.
void pump::impl::leave_block(size_t s) {
  log_position next = state_.at();
  const int32_t block = next.block[s];
  if (block < 0)
    return;
  GANTRY_CHECK(next.tail[s] == 0);
  next.block[s] = -1;
  next.head[s] = 0;
  state_.become(next);
  pool_.give(block);
}

} // namespace gantry::io
