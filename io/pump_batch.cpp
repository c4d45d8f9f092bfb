#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/random.h>

#include "io/pump_impl.hpp"

namespace gantry::io {

namespace {

constexpr uint32_t largest_pipe = 1u << 20;
/// An unfinished line of up to so many bytes is moved to the front of its block before a
/// read: copying it costs less than touching memory that no cache holds.
constexpr uint32_t cheap_move = 4096;
/// A batch has room for so many bytes at least, if it wants them.
constexpr uint32_t least_room = 16;
constexpr nanoseconds memory_pause = std::chrono::milliseconds(50);

void batch_step() {
  if (pump_step_hook != nullptr)
    pump_step_hook();
}

/// Touches every page, so that the read that follows meets no page fault: there, a kill
/// could cut it short in the middle.
void touch_pages(char* from, size_t bytes) noexcept {
  for (size_t i = 0; i < bytes; i += 4096) {
    volatile char* p = from + i;
    *p = *p;
  }
  volatile char* last = from + bytes - 1;
  *last = *last;
}

} // namespace

/// Where `wanted` bytes (or some of them) can go behind the unfinished line. Nothing of
/// what the position names is overwritten before the position has changed. No block: there
/// is no memory. Else there is room for `wanted`, or for some of it.
pump::impl::landing pump::impl::find_landing(size_t s, uint32_t wanted) {
  const log_position& p = state_.at();
  const arena_shape& shape = arena_.header().shape;
  const uint32_t tail = p.tail[s];
  const uint32_t head = p.head[s];
  const auto fresh = [this, tail](bool large, uint32_t size) {
    const bool fits = tail + least_room <= size;
    const int32_t block = fits ? pool_.take(large) : -1;
    return block < 0 ? landing{} : landing{block, 0, size - tail};
  };
  const auto fresh_large = [&] { return fresh(true, shape.large_block_bytes); };
  const auto fresh_small = [&] { return fresh(false, shape.small_block_bytes); };
  const bool has_large = p.block[s] >= 0 && arena_.is_large(p.block[s]);
  if (!has_large && wanted + tail > shape.small_block_bytes)
    if (const landing x = fresh_large(); x.block >= 0)
      return x;
  if (p.block[s] < 0) {
    const landing x = fresh_small();
    return x.block >= 0 ? x : fresh_large();
  }
  const auto size = static_cast<uint32_t>(block_of(p, s).size());
  const uint32_t behind = size - head - tail;
  const bool movable = tail == 0 || head >= tail;
  if (movable && (tail <= cheap_move || behind < wanted))
    return {p.block[s], 0, size - tail};
  if (behind >= std::min(wanted, least_room))
    return {p.block[s], head, behind};
  if (const landing x = head > 0 ? fresh_small() : landing{}; x.block >= 0)
    return x;
  return fresh_large();
}

/// Takes what is in the pipe. @returns true if something is under way now that will call
/// `advance` again; else the stream is being watched.
bool pump::impl::read_stream(size_t s) {
  stream& x = streams_[s];
  if (x.in && !is_terminal(s) && !open_stage())
    return false;
  const int there = x.in ? readable(s) : 0;
  if (there > 0) {
    const auto most = static_cast<uint32_t>(std::min<size_t>(loop_.policy().pump_bytes, INT32_MAX));
    grow_pipe(s, static_cast<uint32_t>(there));
    return read_batch(s, std::min(static_cast<uint32_t>(there), most));
  }
  if (!x.in || std::exchange(x.hung_up, false))
    if (has_ended(s)) {
      end_stream(s);
      later();
      return true;
    }
  watch(s);
  return false;
}

/// Takes a batch of at most `wanted` bytes, of which the pipe has that many, and begins to
/// write the records that it completes. The order is the whole point: first the intent is
/// true, then the bytes move, then it is true that they have.
bool pump::impl::read_batch(size_t s, uint32_t wanted) {
  const landing where = find_landing(s, wanted);
  if (where.block < 0) {
    if (state_.at().tail[s] != 0) { // The line cannot grow: what there is becomes a record.
      flush(s);
      later();
      return true;
    }
    try_later();
    return false;
  }
  take_batch(s, where, wanted);
  if (write_records())
    return true;
  watch(s);
  return false;
}

void pump::impl::take_batch(size_t s, const landing& where, uint32_t wanted) {
  stream& x = streams_[s];
  const uint32_t before = state_.at().tail[s];
  intend(s, where, std::min(wanted, where.room));
  // Fewer than promised: the container reads its own pipe, or writes packets into it.
  const uint32_t got =
    is_terminal(s) ? read_terminal(s) : pool_.stage_.move(arena_, state_, x.in.get());
  touch();
  const log_position& p = state_.at();
  if (got > 0 && on_.came)
    on_.came(static_cast<int>(s), p.bytes[s] + p.dropped[s] + before,
             block_of(p, s).subspan(p.head[s] + before, got));
  x.drain_left -= std::min(x.drain_left, got);
  unformatted_ = true;
  skip_line(s);
}

/// Reads the batch that is intended. The nonce tells afterwards whether that has happened.
uint32_t pump::impl::read_terminal(size_t s) {
  log_position next = state_.at();
  char* const to = block_of(next, s).data() + next.head[s] + next.tail[s];
  touch_pages(to, next.batch_bytes);
  batch_step();
  const ssize_t got = loop_.sys().read(streams_[s].in.get(), {to, next.batch_bytes});
  batch_step();
  next.batch_bytes = next.by_nonce = 0;
  next.tail[s] += got > 0 ? static_cast<uint32_t>(got) : 0;
  state_.become(next);
  return got > 0 ? static_cast<uint32_t>(got) : 0;
}

/// Gives up what a batch begins with, if that is the rest of a line that was given up.
void pump::impl::skip_line(size_t s) {
  log_position next = state_.at();
  if (next.skip[s] != 2)
    return;
  size_t gone = 0;
  if (next.tail[s] != 0) {
    const std::string_view batch(block_of(next, s).data() + next.head[s], next.tail[s]);
    const size_t newline = batch.find('\n');
    gone = newline == std::string_view::npos ? batch.size() : newline + 1;
    next.skip[s] = newline == std::string_view::npos ? 1 : 0;
  } else {
    next.skip[s] = 1;
  }
  next.dropped[s] += gone;
  next.tail[s] -= static_cast<uint32_t>(gone);
  next.head[s] = next.tail[s] == 0 ? 0 : next.head[s] + static_cast<uint32_t>(gone);
  state_.become(next);
  dropped_ |= gone != 0;
}

/// Makes the intent to take a batch true: where, and how many at most.
void pump::impl::intend(size_t s, const landing& where, uint32_t count) {
  log_position next = state_.at();
  const int32_t old_block = next.block[s];
  const uint32_t tail = next.tail[s];
  char* const to = arena_.block(where.block).data() + where.head;
  if (tail != 0 && (old_block != where.block || next.head[s] != where.head))
    std::memcpy(to, block_of(next, s).data() + next.head[s], tail);
  next.block[s] = where.block;
  next.head[s] = where.head;
  next.batch_bytes = count;
  next.staged = 0;
  if (next.skip[s] == 1 && tail == 0)
    next.skip[s] = 2;
  next.batch_stream = static_cast<uint8_t>(s);
  next.time_ns = loop_.sys().realtime().count();
  if (is_terminal(s)) {
    next.by_nonce = 1;
    if (count >= nonce_bytes)
      next_nonce(next.nonce);
    else // A byte that is no UTF-8 must do.
      std::memset(next.nonce, 0xff, nonce_bytes);
    std::memcpy(to + tail, next.nonce, std::min<size_t>(count, nonce_bytes));
    batch_step();
  }
  state_.become(next);
  if (old_block >= 0 && old_block != where.block)
    pool_.give(old_block);
}

/// Looks again in a while: something was not to be had.
void pump::impl::try_later() {
  if (!retry_.armed())
    retry_.start(memory_pause, [this] { later(); });
}

void pump::impl::next_nonce(uint64_t (&nonce)[2]) {
  auto& random = pool_.random_;
  if (pool_.random_used_ + 2 > random.size()) {
    GANTRY_CHECK(::getrandom(random.data(), sizeof(random), 0) == ssize_t(sizeof(random)));
    pool_.random_used_ = 0;
  }
  nonce[0] = random[pool_.random_used_++];
  nonce[1] = random[pool_.random_used_++];
}

int pump::impl::readable(size_t s) {
  auto& sys = loop_.sys();
  const int number = streams_[s].in.get();
  return is_terminal(s) ? sys.terminal_readable(number) : sys.readable(number);
}

/// Whether an empty pipe has no writer any more.
bool pump::impl::has_ended(size_t s) {
  if (streams_[s].in && is_terminal(s))
    return readable(s) == -EIO;
  return !streams_[s].in || (open_stage() && pool_.stage_.at_end(streams_[s].in.get()));
}

/// The way into the arena. Without it nothing is read, and the writers wait.
bool pump::impl::open_stage() {
  if (pool_.stage_.open(loop_.sys(), keeper_))
    return true;
  try_later();
  return false;
}

/// Makes the unfinished line a record. `write_records` does it next.
void pump::impl::flush(size_t s) {
  log_position next = state_.at();
  next.flush = 1;
  next.batch_stream = static_cast<uint8_t>(s);
  next.time_ns = loop_.sys().realtime().count();
  state_.become(next);
  unformatted_ = true;
}

void pump::impl::end_stream(size_t s) {
  log_position next = state_.at();
  next.closed[s] = 1;
  if (next.tail[s] != 0) {
    next.flush = 1;
    next.batch_stream = static_cast<uint8_t>(s);
    next.time_ns = loop_.sys().realtime().count();
    unformatted_ = true;
  }
  state_.become(next);
  if (next.tail[s] == 0)
    leave_block(s);
  streams_[s].tell_closed = true;
  shut_stream(s);
}

/// Closes the pipe, as soon as no poll holds it.
void pump::impl::shut_stream(size_t s) {
  stream& x = streams_[s];
  if (!x.poll.in_flight())
    return x.in.reset();
  x.shut = true;
  x.poll.cancel();
}

void pump::impl::watch(size_t s) {
  stream& x = streams_[s];
  if (!x.in || x.poll.in_flight())
    return;
  x.poll.start(x.in.get(), POLLIN, [this, s](int32_t res) {
    stream& y = streams_[s];
    if (std::exchange(y.shut, false))
      y.in.reset();
    if (res < 0 && goal_ == goal::run) // No memory, or the like.
      return try_later();
    y.hung_up = res > 0 && (res & POLLHUP) != 0;
    advance();
  });
}

/// A pipe that is found more than half full becomes larger: its writer waits less.
void pump::impl::grow_pipe(size_t s, uint32_t found) {
  stream& x = streams_[s];
  if (!x.may_grow || found <= x.pipe_bytes / 2 || x.pipe_bytes >= largest_pipe)
    return;
  const int size = loop_.sys().set_pipe_size(x.in.get(), static_cast<int>(x.pipe_bytes * 2));
  if (size > 0)
    x.pipe_bytes = static_cast<uint32_t>(size);
  else
    x.may_grow = false;
}

} // namespace gantry::io
