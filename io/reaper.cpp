#include "io/reaper.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>

#include "io/log.hpp"

namespace gantry::io {

using namespace std::chrono_literals;

namespace {

constexpr nanoseconds recovery_keep = 30s;  // entries from before our start
constexpr nanoseconds first_inquiry = 5ms;  // then twice as long each time …
constexpr nanoseconds last_inquiry = 1s;    // … up to this
constexpr nanoseconds word_may_come = 2s;   // after the end was certain, with a keeper
constexpr nanoseconds zombie_may_stay = 30s; // dead, but nobody reaps it

exit_status status_of(const dead_entry& x) {
  auto out = exit_status::from_wait(x.status);
  out.max_rss_bytes = uint64_t{x.max_rss_kib} * 1024;
  return out;
}

} // namespace

struct reaper::watch_state {
  watch_state(loop& l, uint64_t i, std::function<void(const death&)> f)
    : id(i), on_death(std::move(f)), again(l) {}

  uint64_t id;
  std::function<void(const death&)> on_death;
  held_poll poll;           ///< Owns the pidfd.
  int pidfd = -1;
  bool dead = false;        ///< The process has ended; its status is still to be found.
  bool reported = false;    ///< The report is posted.
  bool in_doubt = false;    ///< No pidfd of it was to be had so far.
  timer again;
  nanoseconds pause = first_inquiry;
  nanoseconds dead_since{0};
  nanoseconds gone_since{0}; ///< Since it was found reaped by somebody; 0 not yet.
};

reaper::reaper(loop& l, shelf& keeper)
  : loop_(l), keeper_(keeper), keep_(recovery_keep), expiry_(l) {}

reaper::~reaper() = default;

void reaper::start() {
  GANTRY_CHECK(!started_);
  started_ = true;
  std::weak_ptr<int> life = life_;
  keeper_.on_lost([this, life] {
    if (!life.expired())
      keeper_lost();
  });
  if (auto memory = keeper_.memory(); memory) {
    known_.assign(memory.dead().size(), false);
    sweep(true);
  }
  keep_ = 1s;
  if (keeper_.news_fd() >= 0)
    arm_news();
}

bool reaper::has_keeper() const noexcept { return keeper_.news_fd() >= 0 && keeper_.alive(); }

bool reaper::watch(process_key who, std::function<void(const death&)> f) {
  GANTRY_CHECK(started_ && f != nullptr);
  auto [at, fresh] = watches_.try_emplace(who);
  if (!fresh)
    return false;
  at->second = std::make_unique<watch_state>(loop_, next_id_++, std::move(f));
  auto& w = *at->second;
  if (!claim(who, w))
    attach(who, w);
  return true;
}

void reaper::attach(process_key who, watch_state& w) {
  auto& sys = loop_.sys();
  auto opened = who.pid > 0 ? sys.pidfd_open(who.pid) : -ESRCH;
  if (opened < 0 && opened != -ESRCH && opened != -EINVAL) {
    // No descriptor to be had: the table still tells; try again for the pidfd.
    io::log_warn("cannot watch pid {}: {}", who.pid,
                 from_errno(-opened, "open a pidfd of", "a process").text());
    w.in_doubt = true;
    w.again.start(100ms, [this, who, &w] { attach(who, w); });
    return;
  }
  w.in_doubt = false;
  fd pidfd{sys, opened < 0 ? -1 : opened};
  // Read after the pidfd is held: a number that has gone to another process shows.
  if (pidfd && sys.start_ticks(who.pid) == static_cast<int64_t>(who.start_ticks)) {
    w.pidfd = pidfd.get();
    w.poll.start(loop_, std::move(pidfd), POLLIN, [this, who](int32_t) { ended(who); });
    return;
  }
  w.dead = true;
  w.dead_since = w.gone_since = loop_.now();
  inquire(who, w);
}

void reaper::forget(process_key who) { watches_.erase(who); }

int reaper::pidfd_of(process_key who) const noexcept {
  auto at = watches_.find(who);
  return at == watches_.end() || at->second->dead ? -1 : at->second->pidfd;
}

bool reaper::in_doubt(process_key who) const noexcept {
  const auto at = watches_.find(who);
  return at != watches_.end() && at->second->in_doubt && !at->second->reported;
}

void reaper::ended(process_key who) {
  auto at = watches_.find(who);
  if (at == watches_.end() || at->second->reported)
    return;
  at->second->dead = true;
  at->second->dead_since = loop_.now();
  inquire(who, *at->second);
}

// Who may know the status of a process that has ended: we ourselves, if it is our child;
// the table; the kernel, once somebody has reaped it.
void reaper::inquire(process_key who, watch_state& w) {
  auto& sys = loop_.sys();
  death d{who, {}, sys.realtime().count()};
  if (w.pidfd >= 0 && sys.reap(w.pidfd, d.status) == 0)
    return report(who, w, d, -1);
  sweep(false);
  if (w.reported)
    return;
  if (w.pidfd >= 0 && sys.pidfd_status(w.pidfd, d.status) == 0) {
    sweep(false); // the keeper writes first and reaps then: its entry, if any, is there now
    if (!w.reported)
      report(who, w, d, -1);
    return;
  }
  d.status = {};
  inquire_later(who, w);
}

void reaper::inquire_later(process_key who, watch_state& w) {
  auto now = loop_.now();
  auto& sys = loop_.sys();
  if (w.gone_since == 0ns && sys.start_ticks(who.pid) != static_cast<int64_t>(who.start_ticks))
    w.gone_since = now;
  auto memory = keeper_.memory();
  bool full = memory && memory.header().dead_overflow.load(std::memory_order_relaxed) != 0;
  bool hopeless = w.gone_since != 0ns ? now - w.gone_since >= (has_keeper() ? word_may_come : 0ns)
                                      : !full && now - w.dead_since >= zombie_may_stay;
  if (hopeless)
    return report(who, w, {who, {}, sys.realtime().count()}, -1);
  w.again.start(w.pause, [this, who, &w] { inquire(who, w); });
  w.pause = std::min(w.pause * 2, last_inquiry);
}

void reaper::report(process_key who, watch_state& w, const death& d, int64_t index) {
  GANTRY_CHECK(!w.reported);
  w.reported = w.dead = true;
  w.again.cancel();
  std::weak_ptr<int> life = life_;
  loop_.post([this, life, who, id = w.id, d, index] {
    if (!life.expired())
      deliver(who, id, d, index);
  });
}

void reaper::deliver(process_key who, uint64_t id, const death& d, int64_t index) {
  std::weak_ptr<int> life = life_;
  auto at = watches_.find(who);
  if (at == watches_.end() || at->second->id != id) { // forgotten meanwhile
    if (at != watches_.end() && !at->second->reported)
      report(who, *at->second, d, index); // … and watched anew
    else if (index >= 0)
      set_aside(static_cast<uint32_t>(index), keep_);
    return;
  }
  auto f = std::move(at->second->on_death);
  watches_.erase(at);
  f(d);
  if (index >= 0 && !life.expired())
    release(static_cast<uint32_t>(index));
}

bool reaper::claim(process_key who, watch_state& w) {
  auto table = keeper_.memory() ? keeper_.memory().dead() : std::span<dead_entry>{};
  for (auto at = aside_.begin(); at != aside_.end(); ++at) {
    const auto index = at->first;
    const auto& x = table[index];
    if (x.pid != who.pid || (x.start_ticks != who.start_ticks && x.start_ticks != 0))
      continue;
    aside_.erase(at);
    report(who, w, {who, status_of(x), x.realtime_ns}, index);
    return true;
  }
  return false;
}

void reaper::look_at(uint32_t index) {
  const auto& x = keeper_.memory().dead()[index];
  if (known_[index] || x.full.load(std::memory_order_acquire) == 0)
    return;
  known_[index] = true;
  auto at = claimant(x);
  if (at == watches_.end() || at->second->reported)
    return set_aside(index, keep_);
  report(at->first, *at->second,
         {at->first, status_of(x), x.realtime_ns}, index);
}

void reaper::keeper_lost() {
  sweep(true); // it may have died between an entry and the position
  std::vector<process_key> dead;
  for (const auto& [who, w] : watches_)
    if (w->dead && !w->reported)
      dead.push_back(who);
  for (const auto& who : dead)
    if (auto at = watches_.find(who); at != watches_.end() && !at->second->reported)
      inquire(who, *at->second);
}

} // namespace gantry::io
