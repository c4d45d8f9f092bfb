#include <algorithm>

#include "io/pump_impl.hpp"

// When the log cannot keep up: its rate is over the limit, the disk refuses, or a write hangs. By
// policy the writer waits, or bytes are given up so that he does not. His pipe is the buffer: it
// grows to 1 MiB, and something is given up as soon as it fills.

namespace gantry::io {

namespace {

constexpr nanoseconds relief_pause = std::chrono::milliseconds(20);
/// A write that takes longer hangs.
constexpr nanoseconds hung_write = std::chrono::milliseconds(300);
constexpr nanoseconds least_wait = std::chrono::milliseconds(5);
/// Batches that one look gives up: what comes faster waits for the next.
constexpr int most_rounds = 16;

} // namespace

/// @returns true if nothing may be written yet: the timer that ends this is armed. The last words
/// of a process do not wait.
bool pump::impl::over_rate() {
  if (policy_.rate_bytes == 0 || drained_ || goal_ == goal::finish)
    return false;
  const nanoseconds now = loop_.now();
  const auto rate = static_cast<double>(policy_.rate_bytes);
  const double burst = policy_.burst_bytes != 0 ? static_cast<double>(policy_.burst_bytes) : rate;
  const double seconds = std::chrono::duration<double>(now - filled_).count();
  tokens_ = filled_.count() == 0 ? burst : std::min(burst, tokens_ + rate * seconds);
  filled_ = now;
  if (tokens_ > 0)
    return false;
  const double wanted = std::min(burst, rate / 20) - tokens_;
  const auto wait = std::chrono::duration_cast<nanoseconds>(
    std::chrono::duration<double>(std::max(wanted, 1.0) / rate));
  totals_.limited += std::max(wait, least_wait);
  try_again(work::limited, std::max(wait, least_wait));
  return true;
}

/// While something keeps the log back, looks whether the writers would have to wait.
void pump::impl::watch_for_relief() {
  if (policy_.when_full != log_full::block && !relief_.armed())
    relief_.start(relief_pause, [this] { relieve(); });
}

void pump::impl::relieve() {
  if (work_ == work::none || goal_ != goal::run)
    return;
  // A write that is under way ends soon, as a rule: what it holds back is not lost yet.
  if (work_ == work::write && loop_.now() - write_from_ < hung_write)
    return watch_for_relief();
  for (size_t s = 0; s < 2; ++s) {
    const stream& x = streams_[s];
    const bool asked = x.in && open(s) && !is_terminal(s);
    const int there = asked ? loop_.sys().readable(x.in.get()) : 0;
    if (there > 0 && open_stage())
      relieve_stream(s, static_cast<uint32_t>(there));
  }
  report();
  watch_for_relief();
}

void pump::impl::relieve_stream(size_t s, uint32_t there) {
  stream& x = streams_[s];
  grow_pipe(s, there);
  // Pages are filled by half at least, so a full pipe has no less.
  if (there < x.pipe_bytes / 4)
    return;
  dropped_ = true;
  const bool oldest = policy_.when_full == log_full::drop_oldest;
  // What a write under way holds cannot be given up any more.
  if (!oldest || work_ == work::write || s != state_.at().batch_stream) {
    drop_unfinished(s);
    pool_.stage_.discard(state_, s, x.in.get(), there, policy_.format != log_format::raw);
    return;
  }
  const auto most = static_cast<uint32_t>(std::min<size_t>(loop_.policy().pump_bytes, INT32_MAX));
  for (int round = 0; round < most_rounds && there >= x.pipe_bytes / 8; ++round) {
    drop_front(s);
    const landing where = find_landing(s, std::min(there, most));
    if (where.block < 0 || (state_.at().skip[s] == 1 && state_.at().tail[s] != 0))
      return;
    take_batch(s, where, std::min(there, most));
    there = static_cast<uint32_t>(std::max(loop_.sys().readable(x.in.get()), 0));
  }
}

/// Gives up the whole lines that wait, or all where there is none.
void pump::impl::drop_front(size_t s) {
  const log_position& p = state_.at();
  if (p.tail[s] == 0)
    return;
  const std::string_view pending(block_of(p, s).data() + p.head[s], p.tail[s]);
  const bool lines = policy_.format != log_format::raw;
  const size_t newline = lines ? pending.rfind('\n') : std::string_view::npos;
  taken_ = newline == std::string_view::npos ? p.tail[s] : static_cast<uint32_t>(newline + 1);
  writing_ = s;
  const bool within = lines && newline == std::string_view::npos;
  commit(0, true);
  unformatted_ = true; // More comes, or is looked at once more.
  if (!within)
    return;
  log_position next = state_.at();
  next.skip[s] = 1;
  state_.become(next);
}

/// Gives up the unfinished line: its rest is about to be.
void pump::impl::drop_unfinished(size_t s) {
  log_position next = state_.at();
  if (policy_.format == log_format::raw || (next.flush != 0 && next.batch_stream == s))
    return;
  const std::string_view pending =
    next.tail[s] == 0 ? std::string_view{}
                      : std::string_view(block_of(next, s).data() + next.head[s], next.tail[s]);
  const size_t newline = pending.rfind('\n');
  size_t keep = newline == std::string_view::npos ? 0 : newline + 1;
  if (work_ == work::write && writing_ == s)
    keep = std::max<size_t>(keep, taken_);
  if (keep >= pending.size())
    return;
  next.dropped[s] += pending.size() - keep;
  next.tail[s] = static_cast<uint32_t>(keep);
  next.skip[s] = 1;
  state_.become(next);
  streams_[s].known = 0;
}

} // namespace gantry::io
