#include "library/poll_reactor.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/eventfd.h>
#include <unistd.h>

namespace gantry::library {

/// Erases what is awaited, of either kind, unless it has come.
class poll_reactor::handle final : public reactor::wait {
public:
  handle(poll_reactor& owner, uint64_t id, clock::time_point due = {})
    : owner_(owner), id_(id), due_(due) {}
  ~handle() override {
    owner_.awaited_.erase(id_);
    owner_.timers_.erase({due_, id_});
  }

private:
  poll_reactor& owner_;
  uint64_t id_;
  clock::time_point due_;
};

poll_reactor::poll_reactor(int wake_fd)
  : wake_fd_(wake_fd), inbox_([wake_fd] {
      const uint64_t one = 1;
      [[maybe_unused]] auto n = ::write(wake_fd, &one, sizeof(one)); // full: it is awake
    }) {}

result<std::unique_ptr<poll_reactor>> poll_reactor::make() {
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0)
    return from_errno(errno, "make", "an eventfd");
  return std::unique_ptr<poll_reactor>{new poll_reactor(wake)};
}

poll_reactor::~poll_reactor() { ::close(wake_fd_); }

std::unique_ptr<reactor::wait> poll_reactor::ready(int number, short events,
                                                   std::function<void()> f) {
  const auto id = next_++;
  awaited_.emplace(id, awaited{number, events, std::move(f)});
  return std::make_unique<handle>(*this, id);
}

std::unique_ptr<reactor::wait> poll_reactor::after(io::nanoseconds time, std::function<void()> f) {
  const auto id = next_++;
  const auto due = clock::now() + time;
  timers_.emplace(std::pair{due, id}, std::move(f));
  return std::make_unique<handle>(*this, id, due);
}

void poll_reactor::close(int number) { ::close(number); }

int poll_reactor::timeout(int wanted_ms) const {
  if (!later_.empty() || inbox_.ready())
    return 0;
  if (timers_.empty())
    return wanted_ms;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
    std::max(timers_.begin()->first.first - clock::now(), clock::duration(0)));
  const int ms = int(std::min<int64_t>(left.count(), 60'000));
  return wanted_ms < 0 ? ms : std::min(ms, wanted_ms);
}

void poll_reactor::run() {
  while (!over_)
    turn(-1);
}

void poll_reactor::turn(int timeout_ms) {
  std::vector<pollfd> set{{wake_fd_, POLLIN, 0}};
  std::vector<uint64_t> ids;
  for (const auto& [id, what] : awaited_) {
    set.push_back({what.number, what.events, 0});
    ids.push_back(id);
  }
  const auto asked = std::vector<client::channel*>(channels_.begin(), channels_.end());
  std::vector<client::channel*> turned;
  for (auto* c : asked) {
    if (!channels_.contains(c))
      continue; // Another one's calls have ended it.
    set.push_back(c->want(timeout_ms));
    turned.push_back(c);
  }
  if (::poll(set.data(), set.size(), timeout(timeout_ms)) < 0)
    for (auto& p : set)
      p.revents = 0; // A signal that somebody directed at us: look around.
  if (set[0].revents != 0) {
    uint64_t count = 0;
    [[maybe_unused]] auto n = ::read(wake_fd_, &count, sizeof(count));
  }
  inbox_.run();
  run_ready(set, ids);
  for (size_t i = 0; i < turned.size(); ++i)
    if (channels_.contains(turned[i]))
      turned[i]->turn(set[1 + ids.size() + i].revents);
  run_timers();
  run_later();
}

void poll_reactor::run_ready(const std::vector<pollfd>& set, const std::vector<uint64_t>& ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    auto at = set[1 + i].revents != 0 ? awaited_.find(ids[i]) : awaited_.end();
    if (at == awaited_.end())
      continue;
    auto f = std::move(at->second.f);
    awaited_.erase(at);
    f();
  }
}

void poll_reactor::run_timers() {
  const auto now = clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto f = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    f();
  }
}

void poll_reactor::run_later() {
  for (auto n = later_.size(); n > 0; --n) {
    auto f = std::move(later_.front());
    later_.pop_front();
    f();
  }
}

} // namespace gantry::library
