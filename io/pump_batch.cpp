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
/// is no memory. Else there is room for `wanted` or for a nonce at least.
pump::impl::landing pump::impl::find_landing(size_t s, uint32_t wanted) {
  const log_position& p = state_.at();
  const arena_shape& shape = arena_.header().shape;
  const uint32_t tail = p.tail[s];
  const uint32_t head = p.head[s];
  const auto fresh = [this, tail](bool large, uint32_t size) {
    const bool fits = tail + nonce_bytes <= size;
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
  const bool movable = tail == 0 || head >= tail + nonce_bytes;
  if (movable && (tail <= cheap_move || behind < wanted))
    return {p.block[s], 0, size - tail};
  if (behind >= std::min<uint32_t>(wanted, nonce_bytes))
    return {p.block[s], head, behind};
  if (const landing x = head > 0 ? fresh_small() : landing{}; x.block >= 0)
    return x;
  return fresh_large();
}

/// Takes what is in the pipe. @returns true if something is under way now that will call
/// `advance` again; else the stream is being watched.
bool pump::impl::read_stream(size_t s) {
  stream& x = streams_[s];
  const int there = x.in ? readable(s) : 0;
  if (there > 0) {
    const auto most = static_cast<uint32_t>(std::min<size_t>(loop_.policy().pump_bytes, INT32_MAX));
    grow_pipe(s, static_cast<uint32_t>(there));
    return read_batch(s, std::min(static_cast<uint32_t>(there), most));
  }
  if (!x.in || std::exchange(x.hung_up, false))
    if (at_end(s)) {
      end_stream(s);
      later();
      return true;
    }
  watch(s);
  return false;
}

/// Reads a batch of at most `wanted` bytes, of which the pipe has that many, and begins to
/// write the records that it completes. The order is the whole point: first the intent is
/// true, then the bytes move, then it is true that they have.
bool pump::impl::read_batch(size_t s, uint32_t wanted) {
  stream& x = streams_[s];
  char ahead[nonce_bytes] = {};
  if (wanted < nonce_bytes && !is_terminal(s)) { // There a byte that is no UTF-8 must do.
    wanted = look_ahead(s, wanted, ahead);
    if (wanted == 0) { // Somebody else reads this pipe as well.
      watch(s);
      return false;
    }
  }
  const landing where = find_landing(s, wanted);
  if (where.block < 0) {
    if (state_.at().tail[s] != 0) { // The line cannot grow: what there is becomes a record.
      flush(s);
      later();
      return true;
    }
    if (!retry_.armed())
      retry_.start(memory_pause, [this] { later(); });
    return false;
  }
  const std::span<char> to = intend(s, where, std::min(wanted, where.room), ahead);
  touch_pages(to.data(), to.size());
  batch_step();
  const ssize_t got = loop_.sys().read(x.in.get(), to);
  batch_step();
  // Fewer than promised: the container reads its own pipe, or writes packets into it.
  log_position next = state_.at();
  const uint32_t before = next.tail[s];
  next.batch_bytes = 0;
  next.tail[s] += got > 0 ? static_cast<uint32_t>(got) : 0;
  state_.become(next);
  touch();
  if (got > 0 && on_.came)
    on_.came(static_cast<int>(s), next.bytes[s] + next.dropped[s] + before,
             to.first(static_cast<size_t>(got)));
  x.drain_left -= std::min(x.drain_left, got > 0 ? static_cast<uint32_t>(got) : x.drain_left);
  unformatted_ = true;
  if (write_records())
    return true;
  watch(s);
  return false;
}

/// Makes the intent to read true: where, how many, and what lies there before.
/// @returns the place to read into.
std::span<char> pump::impl::intend(size_t s, const landing& where, uint32_t count,
                                   const char (&ahead)[nonce_bytes]) {
  log_position next = state_.at();
  const int32_t old_block = next.block[s];
  const uint32_t tail = next.tail[s];
  char* const to = arena_.block(where.block).data() + where.head;
  if (tail != 0 && (old_block != where.block || next.head[s] != where.head))
    std::memcpy(to, block_of(next, s).data() + next.head[s], tail);
  if (count >= nonce_bytes)
    next_nonce(next.nonce);
  else // Every byte that will come differs from what lies there.
    for (size_t i = 0; i < nonce_bytes; ++i)
      reinterpret_cast<char*>(next.nonce)[i] = static_cast<char>(~ahead[i]);
  std::memcpy(to + tail, next.nonce, std::min<size_t>(count, nonce_bytes));
  next.block[s] = where.block;
  next.head[s] = where.head;
  next.batch_bytes = count;
  next.batch_stream = static_cast<uint8_t>(s);
  next.time_ns = loop_.sys().realtime().count();
  batch_step();
  state_.become(next);
  if (old_block >= 0 && old_block != where.block)
    pool_.give(old_block);
  return {to + tail, count};
}

/// Looks at the next bytes of a pipe without taking them.
uint32_t pump::impl::look_ahead(size_t s, uint32_t count, char (&ahead)[nonce_bytes]) {
  kernel& k = loop_.sys();
  const ssize_t copied = k.tee(streams_[s].in.get(), pool_.scratch_[1].get(), count);
  if (copied <= 0)
    return 0;
  uint32_t seen = 0;
  while (seen < static_cast<uint32_t>(copied)) {
    const size_t left = static_cast<size_t>(copied) - seen;
    const ssize_t got = k.read(pool_.scratch_[0].get(), {ahead + seen, left});
    GANTRY_CHECK(got > 0); // They are in a pipe that nobody else has.
    seen += static_cast<uint32_t>(got);
  }
  return seen;
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

/// Whether an empty pipe has no writer any more. (A read would tell, too, but could take a
/// byte that came in this moment.)
bool pump::impl::at_end(size_t s) {
  if (!streams_[s].in)
    return true;
  if (is_terminal(s))
    return readable(s) == -EIO;
  const ssize_t copied = loop_.sys().tee(streams_[s].in.get(), pool_.scratch_[1].get(), 1);
  if (copied > 0) {
    char ignored = 0;
    GANTRY_CHECK(loop_.sys().read(pool_.scratch_[0].get(), {&ignored, 1}) == 1);
  }
  return copied == 0;
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
    if (res < 0 && goal_ == goal::run) { // No memory, or the like.
      if (!retry_.armed())
        retry_.start(memory_pause, [this] { later(); });
      return;
    }
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
