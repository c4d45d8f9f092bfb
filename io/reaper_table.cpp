#include "io/reaper.hpp"

#include <algorithm>
#include <poll.h>

namespace gantry::io {

using namespace std::chrono_literals;

namespace {

// A command is taken to have begun before a death if the clocks differ by less than this.
constexpr int64_t slack_ns = 100'000'000;

} // namespace

void reaper::arm_news() {
  news_.start(loop_, keeper_.news_fd(), POLLIN, [this](int32_t) {
    char count[8];
    loop_.sys().read(keeper_.news_fd(), count);
    // News without a step of the position: the table is full, or its writer keeps none.
    auto memory = keeper_.memory();
    sweep(memory.header().dead_position.load(std::memory_order_acquire) == seen_);
    expire();
    arm_news();
  });
}

void reaper::sweep(bool whole) {
  auto memory = keeper_.memory();
  if (!memory)
    return;
  auto table = memory.dead();
  const uint64_t size = table.size();
  const auto end = memory.header().dead_position.load(std::memory_order_acquire);
  if (whole || end - seen_ >= size) {
    for (uint32_t i = 0; i < size; ++i)
      look_at(static_cast<uint32_t>((end + i) % size)); // from the oldest on
  } else {
    for (auto i = seen_; i < end; ++i)
      look_at(static_cast<uint32_t>(i % size));
  }
  seen_ = end;
}

reaper::watch_map::iterator reaper::claimant(const dead_entry& x) {
  if (x.start_ticks != 0)
    return watches_.find({x.pid, x.start_ticks});
  auto at = watches_.lower_bound({x.pid, 0}); // the keeper could not read it: by pid alone
  return at != watches_.end() && at->first.pid == x.pid ? at : watches_.end();
}

const dead_entry* reaper::unclaimed(int32_t pid) const noexcept {
  auto memory = keeper_.memory();
  if (!memory)
    return nullptr;
  auto table = memory.dead();
  const dead_entry* newest = nullptr;
  auto consider = [&newest, pid](const dead_entry& x) {
    if (x.pid == pid && (newest == nullptr || x.realtime_ns > newest->realtime_ns))
      newest = &x;
  };
  for (const auto& [index, keep] : aside_)
    consider(table[index]);
  // What came since the last sweep is nobody's yet.
  const auto end = memory.header().dead_position.load(std::memory_order_acquire);
  const auto fresh = std::min<uint64_t>(end - seen_, table.size());
  for (auto i = end - fresh; i < end; ++i) {
    const auto index = i % table.size();
    if (!known_[index] && table[index].full.load(std::memory_order_acquire) != 0
        && !watches_.contains({table[index].pid, table[index].start_ticks}))
      consider(table[index]);
  }
  return newest;
}

void reaper::set_aside(uint32_t index, nanoseconds keep) {
  aside_[index] = loop_.now() + keep;
  if (!expiry_.armed() && !awaited(keeper_.memory().dead()[index]))
    expiry_.start(keep, [this] { expire(); });
}

void reaper::release(uint32_t index) {
  auto& header = keeper_.memory().header();
  known_[index] = false;
  // First freed, then looked at the flag; the keeper does it the other way round, so one of
  // the two sees the other.
  keeper_.memory().dead()[index].full.store(0, std::memory_order_seq_cst);
  if (freeing_ || header.dead_overflow.load(std::memory_order_seq_cst) == 0)
    return;
  freeing_ = true;
  std::weak_ptr<int> life = life_;
  loop_.post([this, life] {
    if (life.expired())
      return;
    freeing_ = false;
    keeper_.memory().header().dead_overflow.store(0, std::memory_order_seq_cst);
    keeper_.freed();
  });
}

bool reaper::awaited(const dead_entry& x) const noexcept {
  // Tickets grow with time: the first command is the oldest one under way.
  return !commands_.empty() && commands_.begin()->second <= x.realtime_ns + slack_ns;
}

// Frees what nobody claimed in its time. A timer runs only while there is something that
// time alone decides.
void reaper::expire() {
  const auto now = loop_.now();
  auto next = nanoseconds::max();
  for (auto at = aside_.begin(); at != aside_.end();) {
    const auto index = at->first;
    if (awaited(keeper_.memory().dead()[index])) {
      ++at;
    } else if (at->second > now) {
      next = std::min(next, at->second);
      ++at;
    } else {
      at = aside_.erase(at);
      release(index);
    }
  }
  if (next == nanoseconds::max())
    expiry_.cancel();
  else
    expiry_.start(next - now, [this] { expire(); });
}

uint64_t reaper::command_begins() {
  commands_[next_ticket_] = loop_.sys().realtime().count();
  return next_ticket_++;
}

void reaper::command_ends(uint64_t ticket) {
  auto at = commands_.find(ticket);
  GANTRY_CHECK(at != commands_.end());
  const auto began = at->second;
  commands_.erase(at);
  // Its owner gets a little time to read the pid file and to claim.
  for (auto& [index, keep] : aside_)
    if (began <= keeper_.memory().dead()[index].realtime_ns + slack_ns)
      keep = std::max(keep, loop_.now() + keep_);
  expire();
}

} // namespace gantry::io
