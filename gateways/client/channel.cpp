#include "gateways/client/channel.hpp"

#include <algorithm>
#include <array>

#include "messages/check.hpp"

namespace gantry::client {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

/// A connection that lived so long was a good one: its loss begins a new outage.
constexpr milliseconds good_life{1000};

/// Sockets of the caller that one step may wait for beside ours.
constexpr size_t most_others = 7;

} // namespace

channel::channel(std::string socket, channel_policy policy)
  : socket_(std::move(socket)), policy_(policy), pause_(policy.first_pause) {}

channel::~channel() = default;

void channel::start(call& c) {
  calls_.push_back(&c);
  if (link_)
    link_->start(c);
}

void channel::drop(const call& c) {
  std::erase(calls_, &c);
  if (link_)
    link_->forget(c);
}

void channel::say(const call& c, const google::protobuf::MessageLite& message) {
  if (link_)
    link_->say(c, message.SerializeAsString());
}

void channel::end_talk(const call& c) {
  if (link_)
    link_->end_talk(c);
}

void channel::try_connect() {
  auto fresh = connection::open(socket_);
  if (!fresh) {
    const bool busy = fresh.why().cure.starts_with("too many");
    if (!outage_since_ && !busy)
      return fail_all(fresh.why());
    return lose(std::move(fresh).why());
  }
  link_ = std::move(fresh).value();
  linked_at_ = clock::now();
  for (auto* c : calls_)
    link_->start(*c);
}

void channel::lose(const error& why) {
  const auto now = clock::now();
  const bool good =
    link_ && (link_->fruitful() || (link_->greeted() && now - linked_at_ > good_life));
  link_.reset();
  if (calls_.empty())
    return; // Nobody misses it.
  if (good || !outage_since_) {
    outage_since_ = now;
    pause_ = policy_.first_pause;
  }
  if (now - *outage_since_ >= policy_.outage)
    return fail_all(given_up(why));
  retry_at_ = now + pause_;
  pause_ = std::min(pause_ * 2, policy_.longest_pause);
}

error channel::given_up(const error& last) const {
  const auto ms = duration_cast<milliseconds>(clock::now() - *outage_since_).count();
  return {ec::unavailable,
          "lost gantryd at " + socket_ + " and did not reach it again within " +
            std::to_string((ms + 500) / 1000) + " s: " + last.message,
          "is it running? look at its log, or start it: gantryd"};
}

void channel::finish(call& c, result<void> how) {
  std::erase(calls_, &c);
  c.done(std::move(how));
}

void channel::fail_all(const error& why) {
  outage_since_.reset();
  pause_ = policy_.first_pause;
  for (auto* c : std::vector<call*>(calls_))
    if (std::find(calls_.begin(), calls_.end(), c) != calls_.end()) // An end may drop another.
      finish(*c, why);
}

void channel::deliver_ended() {
  auto ended = link_->take_ended();
  std::optional<error> refusal;
  for (auto& e : ended) {
    if (std::find(calls_.begin(), calls_.end(), e.which) == calls_.end())
      continue;
    if (e.refused) {
      refusal = e.how ? error{ec::unavailable, "gantryd is going away", {}} : e.how.why();
      continue;
    }
    outage_since_.reset();
    pause_ = policy_.first_pause;
    finish(*e.which, std::move(e.how));
  }
  if (refusal)
    lose(*refusal);
}

int channel::poll_timeout(int wanted_ms) const {
  const auto now = clock::now();
  std::optional<clock::time_point> until;
  if (!link_ && !calls_.empty())
    until = retry_at_;
  else if (link_ && !link_->greeted())
    until = linked_at_ + policy_.outage;
  if (!until)
    return wanted_ms;
  const auto left = std::chrono::ceil<milliseconds>(std::max(*until - now, clock::duration(0)));
  const int ms = static_cast<int>(left.count());
  return wanted_ms < 0 ? ms : std::min(ms, wanted_ms);
}

pollfd channel::want(int& timeout_ms) {
  if (!link_ && !calls_.empty() && clock::now() >= retry_at_) {
    const size_t before = calls_.size();
    try_connect();
    if (calls_.size() != before) // Failed: its calls have ended, nothing is to be awaited.
      timeout_ms = 0;
  }
  timeout_ms = poll_timeout(timeout_ms);
  if (!link_)
    return {-1, 0, 0};
  const int in = held_ ? 0 : POLLIN;
  const int out = link_->wants_write() ? POLLOUT : 0;
  // Without a wish it is left out: a hang-up would be reported again and again.
  return {in + out != 0 ? link_->fd() : -1, static_cast<short>(in | out), 0};
}

void channel::turn(short got) {
  if (!link_)
    return;
  result<void> state;
  if (got != 0)
    state = link_->turn((got & (POLLIN | POLLHUP | POLLERR)) != 0 && !held_);
  else if (!link_->greeted() && clock::now() - linked_at_ >= policy_.outage)
    state = error{ec::deadline_exceeded, "gantryd at " + socket_ + " does not answer",
                  "it may be starting, stopped or overloaded: look at its log"};
  deliver_ended();
  if (state || !link_)
    return;
  if (state.why().code == ec::unavailable)
    return lose(std::move(state).why());
  link_.reset();
  if (state.why().code == ec::deadline_exceeded)
    return fail_all(state.why());
  fail_all({ec::internal, "what listens at " + socket_ + " is not gantryd: " + state.why().message,
            "name gantryd's socket by --socket"});
}

void channel::step(std::span<pollfd> others, int timeout_ms) {
  GANTRY_CHECK(others.size() <= most_others);
  std::array<pollfd, most_others + 1> set{};
  std::copy(others.begin(), others.end(), set.begin());
  set[others.size()] = want(timeout_ms);
  const int ready = ::poll(set.data(), others.size() + 1, timeout_ms);
  for (size_t i = 0; i < others.size(); ++i)
    others[i].revents = ready > 0 ? set[i].revents : short(0);
  turn(ready > 0 ? set[others.size()].revents : short(0));
}

} // namespace gantry::client
