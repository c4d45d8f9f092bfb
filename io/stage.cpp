#include "io/stage.hpp"

#include <algorithm>
#include <cerrno>

namespace gantry::io {

namespace {

constexpr shelf_key key{shelf_kind::stage, 1};
constexpr int wanted_size = 1 << 20;

void stage_step() {
  if (pump_step_hook != nullptr)
    pump_step_hook();
}

} // namespace

void stage::take(kernel& k, const arena& a, std::array<fd, 2> ends) {
  kernel_ = &k;
  ends_ = std::move(ends);
  finish_batches(a);
}

result<void> stage::open(kernel& k, shelf& keeper) {
  if (ends_[0])
    return {};
  int ends[2] = {-1, -1};
  if (const int err = k.pipe(ends, 2); err < 0)
    return from_errno(-err, "make a pipe for", "the logs");
  std::array<fd, 2> mine{fd(k, ends[0]), fd(k, ends[1])};
  k.set_pipe_size(ends[0], wanted_size); // A small one only makes small batches.
  // Without a keeper nothing survives us that could be finished.
  if (auto put = keeper.put(key, {}, ends); !put && put.why().code != ec::unavailable)
    return put;
  kernel_ = &k;
  ends_ = std::move(mine);
  return {};
}

/// At most one batch can be under way: it goes from its beginning to its end in one call.
void stage::finish_batches(const arena& a) {
  for (log_slot& slot : a.logs().first(log_state::slots_used(a)))
    if (const uint64_t serial = slot.serial.load(std::memory_order_acquire); serial != 0) {
      log_state log = log_state::find(a, serial);
      if (!log.sound(a))
        continue;
      if (log.at().batch_bytes != 0 && log.at().by_nonce == 0)
        settle(a, log);
      if (log.at().discard_bytes != 0) // With lines or without: a whole one is given up with it.
        finish_discard(log, true,
                       static_cast<uint32_t>(std::max(kernel_->readable(ends_[0].get()), 0)));
    }
  empty();
}

/// Throws away what is in the pipe: it belongs to nobody, or is counted. @returns the last byte.
char stage::empty() {
  char nobodys[4096];
  char last = 0;
  while (kernel_->readable(ends_[0].get()) > 0) {
    const ssize_t got = kernel_->read(ends_[0].get(), nobodys);
    if (got <= 0)
      break;
    last = nobodys[got - 1];
  }
  return last;
}

void stage::discard(log_state& log, size_t stream, int from, uint32_t bytes, bool lines) {
  log_position next = log.at();
  next.discard_bytes = bytes;
  next.discard_stream = static_cast<uint8_t>(stream);
  log.become(next);
  stage_step();
  const ssize_t moved = kernel_->splice(from, ends_[1].get(), bytes);
  stage_step();
  finish_discard(log, lines, static_cast<uint32_t>(std::max<ssize_t>(moved, 0)));
}

void stage::finish_discard(log_state& log, bool lines, uint32_t moved) {
  log_position next = log.at();
  const size_t s = next.discard_stream;
  next.discard_bytes = 0;
  next.dropped[s] += moved;
  if (lines && moved != 0)
    next.skip[s] = 1; // Until it is known how they end.
  log.become(next);
  const char last = empty();
  stage_step();
  if (next.skip[s] != 1 || last != '\n')
    return;
  next.skip[s] = 0;
  log.become(next);
}

uint32_t stage::move(const arena& a, log_state& log, int from) {
  log_position next = log.at();
  const uint32_t before = next.tail[next.batch_stream];
  stage_step();
  const ssize_t moved = kernel_->splice(from, ends_[1].get(), next.batch_bytes);
  stage_step();
  next.staged = moved > 0 ? static_cast<uint32_t>(moved) : 0;
  if (next.staged == 0)
    next.batch_bytes = 0;
  log.become(next);
  if (next.staged == 0)
    return 0;
  bring_in(a, log, next.staged);
  return log.at().tail[next.batch_stream] - before;
}

/// After a crash: goes on where the batch was.
void stage::settle(const arena& a, log_state& log) {
  log_position next = log.at();
  const auto there = static_cast<uint32_t>(std::max(kernel_->readable(ends_[0].get()), 0));
  if (next.staged == 0) { // It ended before it was known how many there are: these.
    next.staged = std::min(there, next.batch_bytes);
    log.become(next);
  }
  bring_in(a, log, std::min(there, next.staged));
}

/// Reads the `left` last bytes of the batch. Only in a simulation can that fail: behind our end.
bool stage::bring_in(const arena& a, log_state& log, uint32_t left) {
  log_position next = log.at();
  const size_t s = next.batch_stream;
  char* const landing = a.block(next.block[s]).data() + next.head[s] + next.tail[s];
  while (left > 0) {
    const ssize_t got = kernel_->read(ends_[0].get(), {landing + (next.staged - left), left});
    stage_step();
    if (got == -ECANCELED)
      return false;
    GANTRY_CHECK(got > 0);
    left -= static_cast<uint32_t>(got);
  }
  next.tail[s] += next.staged;
  next.batch_bytes = next.staged = 0;
  log.become(next);
  return true;
}

bool stage::at_end(int from) {
  const ssize_t copied = kernel_->tee(from, ends_[1].get(), 1);
  if (copied > 0)
    empty();
  return copied == 0;
}

} // namespace gantry::io
