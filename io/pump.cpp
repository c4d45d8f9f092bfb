#include "io/pump.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>

#include "io/pump_impl.hpp"

namespace gantry::io {

namespace {

constexpr nanoseconds finish_patience = std::chrono::seconds(10);
/// More than the kernel holds back of a terminal: FIONREAD tells only of the next 4 KiB.
constexpr uint32_t most_of_terminal = 128u << 10;
constexpr uint32_t least_line = 1024;
constexpr uint32_t most_line = 1u << 20;
constexpr uint64_t least_file = 1024;

/// Cuts off what a write without a commit may have left behind the log's end: the records
/// that come again are the same, but for a policy that was changed meanwhile.
void cut_tail(const std::string& path, uint64_t size) {
  struct stat now {};
  if (::stat(path.c_str(), &now) == 0 && S_ISREG(now.st_mode) && uint64_t(now.st_size) > size) {
    // A file that cannot be cut is written over all the same.
    [[maybe_unused]] const int err = ::truncate(path.c_str(), static_cast<off_t>(size));
  }
}

} // namespace

std::optional<log_full> log_full_named(std::string_view name) noexcept {
  if (name == "block")
    return log_full::block;
  if (name == "drop-oldest")
    return log_full::drop_oldest;
  return name == "drop-newest" ? std::optional(log_full::drop_newest) : std::nullopt;
}

pump::impl::impl(loop& l, shelf& keeper, block_pool& pool, log_policy policy)
  : loop_(l), keeper_(keeper), pool_(pool), arena_(keeper.memory()), policy_(policy),
    streams_{stream(l), stream(l)}, retry_(l), quiet_(l), relief_(l),
    alive_(std::make_shared<impl*>(this)) {
  policy_.max_line_bytes = std::clamp(policy_.max_line_bytes, least_line, most_line);
  policy_.max_files = std::max(policy_.max_files, 1u);
  policy_.max_file_bytes = std::max(policy_.max_file_bytes, least_file);
}

pump::impl::~impl() {
  GANTRY_CHECK(goal_ == goal::rest);
  *alive_ = nullptr;
}

result<void> pump::impl::begin(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on) {
  GANTRY_CHECK(goal_ == goal::rest && !state_);
  // A directory that held a log before is gone on with, behind its last file.
  std::vector<uint64_t> old;
  if (const int err = list_log_files(loop_.sys(), dir, old); err < 0)
    return from_errno(-err, "read the log directory", dir);
  state_ = log_state::take(arena_, serial);
  if (!state_)
    return error{ec::resource_exhausted, "every log slot of the arena is taken",
                 "remove finished containers, or start with a larger arena"};
  if (!old.empty()) {
    log_position next = state_.at();
    next.file_seq = old.back() + 1;
    state_.become(next);
  }
  adopt(std::move(dir), std::move(fds), std::move(on));
  if (const uint64_t seq = state_.at().file_seq; seq > policy_.max_files)
    sink_->remove_through(seq - policy_.max_files);
  return {};
}

result<void> pump::impl::resume(uint64_t serial, std::string dir, std::array<fd, 2> fds,
                                events on) {
  GANTRY_CHECK(goal_ == goal::rest && !state_);
  log_state found = log_state::find(arena_, serial);
  if (!found)
    return error{ec::not_found, "the arena has no log of process " + std::to_string(serial), {}};
  if (!found.sound(arena_))
    return error{ec::data_loss,
                 "the arena's entry for the log of process " + std::to_string(serial) +
                   " is damaged",
                 {}};
  state_ = found;
  const uint32_t unread = state_.recover(arena_);
  maybe_lost_ = terminal_ && unread < nonce_bytes ? unread : 0;
  const log_position& p = state_.at();
  cut_tail(log_file_path(dir, p.file_seq), p.file_offset);
  if (policy_.format == log_format::raw)
    cut_tail(log_index_path(dir, p.file_seq), p.index_offset);
  unformatted_ = true;
  const uint64_t removed = p.file_seq > policy_.max_files ? p.file_seq - policy_.max_files : 0;
  adopt(std::move(dir), std::move(fds), std::move(on));
  for (size_t s = 0; s < 2; ++s)
    skip_line(s);
  if (removed != 0) // The crash may have come between the new file and this.
    sink_->remove_through(removed);
  return {};
}

void pump::impl::adopt(std::string dir, std::array<fd, 2> fds, events on) {
  sink_ = std::make_unique<log_output>(
    loop_, std::move(dir), policy_.pack || policy_.format == log_format::raw);
  on_ = std::move(on);
  for (size_t s = 0; s < 2; ++s)
    if (open(s))
      streams_[s].in = std::move(fds[s]);
  goal_ = goal::run;
  touch();
  later();
}

void pump::impl::later() {
  if (std::exchange(posted_, true))
    return;
  loop_.post([alive = alive_] {
    if (impl* self = *alive) {
      self->posted_ = false;
      self->advance();
    }
  });
}

void pump::impl::advance() {
  while (goal_ != goal::rest && work_ == work::none) {
    if (goal_ == goal::stop)
      return come_to_rest();
    if (!reopened_.empty())
      begin_file(); // Else the next write does it.
    if (unformatted_ && write_records())
      return;
    if (report()) // The owner heard news, and may have changed the goal.
      continue;
    if (goal_ == goal::finish) {
      if (flush_next())
        continue;
      return come_to_rest();
    }
    if (drained_ && settle_drain())
      continue;
    if (all_closed_ && tell_end())
      continue;
    if (held_ && !drained_)
      return;
    const size_t first = turn_;
    turn_ ^= 1;
    for (const size_t s : {first, first ^ 1})
      if (open(s) && read_stream(s))
        return;
    return;
  }
}

/// Tells the owner what he does not know yet. @returns whether there was something.
bool pump::impl::report() {
  bool told = false;
  if (std::exchange(grown_, false) && on_.grown) {
    told = true;
    on_.grown();
  }
  if (std::exchange(rotated_, false) && on_.rotated) {
    told = true;
    on_.rotated(state_.at().file_seq);
  }
  if (std::exchange(dropped_, false) && on_.dropped) {
    told = true;
    fill_totals(state_.at(), totals_);
    on_.dropped(totals_);
  }
  for (size_t s = 0; s < 2; ++s)
    if (std::exchange(streams_[s].tell_closed, false) && on_.closed) {
      told = true;
      on_.closed(static_cast<int>(s));
    }
  return told;
}

void pump::impl::drain(std::function<void(bool)> f) {
  if (goal_ == goal::rest) {
    const bool io_open = !totals_.closed[0] || !totals_.closed[1];
    return loop_.post([f = std::move(f), io_open] { f(io_open); });
  }
  drained_ = std::move(f);
  end_limit();
  for (size_t s = 0; s < 2; ++s)
    if (stream& x = streams_[s]; x.in)
      x.drain_left =
        is_terminal(s) ? most_of_terminal : static_cast<uint32_t>(std::max(readable(s), 0));
  later();
}

/// Ends a drain if everything that was in the pipes is logged.
/// @returns whether something changed, so that `advance` has to look again.
bool pump::impl::settle_drain() {
  bool io_open = false;
  for (size_t s = 0; s < 2; ++s) {
    if (!open(s))
      continue;
    stream& x = streams_[s];
    const int there = x.in ? readable(s) : 0;
    if (there <= 0) {
      x.drain_left = 0;
      if (has_ended(s)) {
        end_stream(s);
        return true;
      }
    }
    if (x.drain_left != 0)
      return false;
    if (state_.at().tail[s] != 0) { // The last words of who has ended, whoever goes on.
      flush(s);
      return true;
    }
    io_open = true;
  }
  if (const auto f = std::exchange(drained_, nullptr))
    f(io_open);
  return true;
}

void pump::impl::at_end(std::function<void()> f) {
  all_closed_ = std::move(f);
  later();
}

/// Tells of the end of both streams. @returns whether it has come to that.
bool pump::impl::tell_end() {
  for (size_t s = 0; s < 2; ++s)
    if (open(s) || state_.at().tail[s] != 0)
      return false;
  std::exchange(all_closed_, nullptr)();
  return true;
}

void pump::impl::end(goal how, std::function<void()> f) {
  ended_ = std::move(f);
  if (goal_ != goal::rest)
    goal_ = how;
  finish_by_ = loop_.sys().monotonic() + finish_patience;
  if (how == goal::stop && work_ == work::retry) {
    retry_.cancel();
    work_ = work::none;
  }
  end_limit();
  if (goal_ != goal::rest)
    return later();
  loop_.post(std::exchange(ended_, nullptr));
}

/// Last words do not wait for the rate.
void pump::impl::end_limit() {
  if (work_ != work::limited)
    return;
  retry_.cancel();
  work_ = work::none;
}

void pump::impl::reopen(std::function<void(uint64_t)> f) {
  if (goal_ != goal::run)
    return loop_.post([f = std::move(f)] { f(0); });
  reopened_.push_back(std::move(f));
  later();
}

/// For a finish: makes the next unfinished line a record. @returns false if there is none.
bool pump::impl::flush_next() {
  for (size_t s = 0; s < 2; ++s) {
    if (state_.at().tail[s] == 0)
      continue;
    flush(s);
    return true;
  }
  return false;
}

/// Waits until no op is under way, then lets go of everything.
void pump::impl::come_to_rest() {
  retry_.cancel();
  quiet_.cancel();
  relief_.cancel();
  bool waits = false;
  for (stream& x : streams_)
    if (x.poll.in_flight()) {
      x.poll.cancel();
      waits = true;
    }
  if (waits || !sink_->rests([this] { later(); }))
    return;
  for (stream& x : streams_)
    x.in.reset();
  sink_->close();
  give_buffer();
  if (state_) {
    fill_totals(state_.at(), totals_);
    if (goal_ == goal::finish)
      release_blocks();
  }
  all_closed_ = nullptr;
  const goal how = std::exchange(goal_, goal::rest);
  for (auto& f : std::exchange(reopened_, {}))
    loop_.post([f = std::move(f)] { f(0); });
  // Posted: the owner may destroy the pump from there.
  const bool io_open = !totals_.closed[0] || !totals_.closed[1];
  if (auto f = std::exchange(drained_, nullptr); f && how == goal::finish)
    loop_.post([f = std::move(f), io_open] { f(io_open); });
  if (auto f = std::exchange(ended_, nullptr))
    loop_.post(std::move(f));
}

void pump::impl::release_blocks() {
  log_position next = state_.at();
  const std::array<int32_t, 2> blocks{next.block[0], next.block[1]};
  next.block[0] = next.block[1] = -1;
  state_.become(next);
  for (const int32_t block : blocks)
    if (block >= 0)
      pool_.give(block);
  state_.free();
}

pump::pump(loop& l, shelf& keeper, block_pool& pool, log_policy policy)
  : impl_(std::make_unique<impl>(l, keeper, pool, policy)) {}

pump::~pump() = default;

result<void> pump::begin(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on) {
  return impl_->begin(serial, std::move(dir), std::move(fds), std::move(on));
}

result<void> pump::resume(uint64_t serial, std::string dir, std::array<fd, 2> fds, events on) {
  return impl_->resume(serial, std::move(dir), std::move(fds), std::move(on));
}

void pump::drain(std::function<void(bool)> f) {
  impl_->drain(std::move(f));
}

void pump::at_end(std::function<void()> f) {
  impl_->at_end(std::move(f));
}

void pump::finish(std::function<void()> f) {
  impl_->end(impl::goal::finish, std::move(f));
}

void pump::stop(std::function<void()> f) {
  impl_->end(impl::goal::stop, std::move(f));
}

void pump::reopen(std::function<void(uint64_t)> f) {
  impl_->reopen(std::move(f));
}

log_totals pump::totals() const {
  if (impl_->state_)
    fill_totals(impl_->state_.at(), impl_->totals_);
  return impl_->totals_;
}

void pump::is_terminal() noexcept {
  impl_->terminal_ = true;
}

uint32_t pump::maybe_lost() const noexcept {
  return impl_->maybe_lost_;
}

std::string_view pump::unlogged(int stream) const noexcept {
  if (!impl_->state_)
    return {};
  const log_position& p = impl_->state_.at();
  const auto s = static_cast<size_t>(stream);
  if (p.tail[s] == 0)
    return {};
  return {impl_->block_of(p, s).data() + p.head[s], p.tail[s]};
}

void pump::hold(bool on) {
  if (std::exchange(impl_->held_, on) && !on)
    impl_->later();
}

std::atomic<uint64_t>* pump::relayed(int stream) noexcept {
  return impl_->state_ ? &impl_->state_.slot().relayed[stream] : nullptr;
}

std::atomic<uint64_t>* pump::stdin_taken() noexcept {
  return impl_->state_ ? &impl_->state_.slot().stdin_taken : nullptr;
}

} // namespace gantry::io
