#include "io/loop.hpp"

#include <algorithm>
#include <cstdlib>
#include <cxxabi.h>

#include "io/log.hpp"
#include "io/watchdog.hpp"

namespace gantry::io {

namespace {

constexpr nanoseconds no_wait{0};
constexpr nanoseconds slow_report_pause = std::chrono::seconds(1);
constexpr size_t longest_name = 160;

/// The name of a type as it was written; any other stays as it is.
std::string readable(const char* name) {
  int status = 0;
  char* made = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string out = status == 0 && made != nullptr ? made : name;
  std::free(made);
  if (out.size() > longest_name)
    out = out.substr(0, longest_name) + "...";
  return out;
}

} // namespace

loop::loop(kernel& k, loop_policy policy) : kernel_(k), policy_(policy), now_(k.monotonic()) {
  done_.reserve(64);
}

loop::~loop() {
  GANTRY_CHECK(!in_turn_);
  GANTRY_CHECK(in_flight_ == 0); // Cancel the ops, then `drain`.
  GANTRY_CHECK(timers_.empty());
}

void loop::submit(op& x) {
  GANTRY_CHECK(!x.in_flight_);
  ++in_flight_;
  kernel_.submit(x);
  x.in_flight_ = true;
}

void loop::post(std::function<void()> f) { posted_.push_back(std::move(f)); }

bool loop::turn(bool may_wait) {
  GANTRY_CHECK(!in_turn_);
  in_turn_ = true;
  auto deadline = next_deadline(may_wait);
  if (deadline > no_wait)
    deadline = guard_wait(deadline);
  done_.clear();
  kernel_.turn(deadline, done_);

  now_ = kernel_.monotonic();
  if (watchdog_)
    watchdog_->arm();
  part_began_ = now_;
  longest_ = {};
  resumes_before_ = stats_.actor_resumes;
  bool worked = !done_.empty();
  run_completions();
  worked |= run_posted();
  worked |= run_timers();
  worked |= run_hooks();
  was_idle_ = !worked;
  end_turn(now_);
  in_turn_ = false;
  return worked;
}

nanoseconds loop::next_deadline(bool may_wait) const noexcept {
  if (!may_wait || !posted_.empty() || stopped_.load(std::memory_order_relaxed))
    return no_wait;
  auto first = timers_.empty() ? nanoseconds::max() : timers_.begin()->first;
  for (auto* hook : hooks_) {
    if (!hook)
      continue;
    if (hook->ready())
      return no_wait;
    first = std::min(first, hook->deadline());
  }
  return first;
}

// A wait that the watchdog's timer would interrupt ends a little earlier instead; only when
// nothing at all happened until then is the timer stopped. See watchdog.hpp for the cost.
nanoseconds loop::guard_wait(nanoseconds deadline) noexcept {
  if (!watchdog_ || deadline <= watchdog_->safe_until())
    return deadline;
  if (!was_idle_)
    return watchdog_->safe_until();
  watchdog_->disarm();
  return deadline;
}

void loop::run_completions() {
  stats_.completions += done_.size();
  for (auto& c : done_) // Again, whatever the kernel says: the rule of kernel::turn.
    c.what->in_flight_ = true;
  for (auto& c : done_) {
    GANTRY_CHECK(in_flight_ > 0);
    --in_flight_;
    c.what->in_flight_ = false;
    const auto& whose = c.what->purpose(); // It may be destroyed.
    c.what->complete(c.res, c.flags);
    did("completion", whose.name());
  }
}

// Only what was there at the start: a callback that posts itself again waits a turn.
bool loop::run_posted() {
  auto budget = posted_ran_ = posted_.size();
  for (auto n = budget; n > 0; --n) {
    auto f = std::move(posted_.front());
    posted_.pop_front();
    f();
    did("posted", f.target_type().name());
  }
  return budget > 0;
}

bool loop::run_timers() {
  auto due = now_;
  auto budget = timers_.size();
  timers_ran_ = 0;
  for (; budget > 0 && !timers_.empty() && timers_.begin()->first <= due; --budget) {
    auto* t = timers_.begin()->second;
    timers_.erase(timers_.begin());
    t->armed_ = false;
    auto f = std::move(t->callback_);
    t->callback_ = nullptr;
    f(); // May start or destroy the timer.
    did("timer", f.target_type().name());
    ++timers_ran_;
  }
  return timers_ran_ > 0;
}

bool loop::run_hooks() {
  for (size_t i = 0; i < hooks_.size(); ++i)
    if (hooks_[i])
      hooks_[i]->run_some();
  std::erase(hooks_, nullptr);
  return stats_.actor_resumes != resumes_before_;
}

nanoseconds loop::did(const char* kind, const char* name) noexcept {
  const auto now = kernel_.monotonic();
  const auto took = now - std::exchange(part_began_, now);
  if (took > longest_.took)
    longest_ = {took, kind, name};
  return now;
}

void loop::end_turn(nanoseconds began) {
  ++stats_.turns;
  auto ended = kernel_.monotonic();
  auto took = ended - began;
  stats_.longest_turn_ns = std::max(stats_.longest_turn_ns, uint64_t(took.count()));
  if (took <= policy_.slow_turn)
    return;
  ++stats_.slow_turns;
  ++slow_unreported_;
  stats_.slow_part = std::string(longest_.kind) + " " + readable(longest_.name);
  stats_.slow_part_ns = uint64_t(longest_.took.count());
  if (last_slow_report_ != nanoseconds(0) && ended - last_slow_report_ < slow_report_pause)
    return;
  last_slow_report_ = ended;
  report_slow(took);
}

void loop::report_slow(nanoseconds took) {
  const auto ms = [](nanoseconds span) { return double(span.count()) / 1e6; };
  io::log_warn("a turn of the loop was slow ms={:.1f} limit_ms={:.1f} longest_ms={:.1f} "
               "longest=\"{}\" completions={} posted={} timers={} resumes={} since_last_report={}",
               ms(took), ms(policy_.slow_turn), ms(longest_.took), stats_.slow_part, done_.size(),
               posted_ran_, timers_ran_, stats_.actor_resumes - resumes_before_,
               slow_unreported_);
  slow_unreported_ = 0;
}

void loop::run() {
  while (!stopped_.exchange(false, std::memory_order_acq_rel))
    turn(true);
}

void loop::stop() noexcept {
  stopped_.store(true, std::memory_order_release);
  kernel_.wake();
}

bool loop::drain(nanoseconds limit) {
  bool over = false;
  timer clock(*this);
  clock.start(limit, [&over] { over = true; });
  while (in_flight_ > 0 && !over)
    turn(true);
  return in_flight_ == 0;
}

void loop::add_hook(turn_hook& hook) { hooks_.push_back(&hook); }

void loop::remove_hook(turn_hook& hook) {
  // In a turn the list is being walked: only leave a hole, which the turn removes.
  std::replace(hooks_.begin(), hooks_.end(), &hook, static_cast<turn_hook*>(nullptr));
  if (!in_turn_)
    std::erase(hooks_, nullptr);
}

void timer::start(nanoseconds after, std::function<void()> f) {
  GANTRY_CHECK(f != nullptr);
  cancel();
  // Not the loop's cached time: within a long turn that would fire too early.
  auto now = loop_.kernel_.monotonic();
  auto due = after < nanoseconds::max() - now ? now + after : nanoseconds::max();
  place_ = loop_.timers_.emplace(due, this);
  callback_ = std::move(f);
  armed_ = true;
}

void timer::cancel() noexcept {
  if (!armed_)
    return;
  loop_.timers_.erase(place_);
  armed_ = false;
  callback_ = nullptr;
}

} // namespace gantry::io
