#include "library/subscriber.hpp"

#include <algorithm>

#include "library/convert.hpp"

namespace gantry {

namespace {

/// Of one pull; what a handler has not seen yet waits at the supervisor.
constexpr size_t pull_bytes = 64u << 10;

/// Handed on in one go; then others get the thread.
constexpr int most_in_a_row = 32;

} // namespace

subscription& subscription::operator=(subscription&& other) noexcept {
  if (this != &other) {
    stop();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

subscription::~subscription() { stop(); }

void subscription::stop() {
  if (impl_)
    impl_->stop();
}

event_cursor subscription::cursor() const {
  if (!impl_)
    return {};
  std::lock_guard guard(impl_->mutex);
  return impl_->place;
}

subscription_counters subscription::counters() const {
  if (!impl_)
    return {};
  std::lock_guard guard(impl_->mutex);
  return impl_->counted;
}

void subscription::impl::begin() {
  auto me = shared_from_this();
  if (site->way() == nullptr)
    return end(library::site::ended());
  site->add(me);
  auto what = library::to_bus(options);
  if (what.list() || what.has_since())
    return follow(what);
  // From now on: but where is that? Asked for once, so that no lost connection makes a hole.
  site->ask<v1::InfoReply>(v1::InfoRequest{}, [me, what](result<v1::InfoReply> now) mutable {
    if (me->ended)
      return;
    if (!now)
      return me->end(std::move(now).why());
    what.mutable_since()->set_epoch(now->epoch());
    what.mutable_since()->set_seq(now->seq());
    {
      std::lock_guard guard(me->mutex);
      me->place = {now->epoch(), now->seq()};
    }
    me->follow(what);
  });
}

void subscription::impl::follow(const v1::FollowRequest& what) {
  if (site->way() == nullptr)
    return end(library::site::ended());
  auto made = site->way()->follow(what);
  if (!made)
    return end(std::move(made).why());
  source = std::move(*made);
  pull();
}

void subscription::impl::stop() {
  {
    std::unique_lock guard(mutex);
    stopped = true;
    if (!site->here())
      rest.wait(guard, [this] { return !running; });
  }
  // What is left to do harms nobody if it comes late or, as the supervisor has ended, never.
  site->post([me = shared_from_this()] { me->end({}); });
}

void subscription::impl::end(std::optional<error> why) {
  if (std::exchange(ended, true))
    return;
  auto me = shared_from_this();
  source.reset();
  pause.reset();
  items.clear();
  site->remove(me);
  if (why && options.on_end && enter()) {
    library::call_out(options.on_end, *why);
    left(nullptr);
  }
}

void subscription::impl::leave(const error& why) { end(why); }

void subscription::impl::pull() {
  source->next(pull_bytes, [weak = weak_from_this()](result<std::vector<v1::FollowItem>> x) {
    if (auto me = weak.lock())
      me->took(std::move(x));
  });
}

void subscription::impl::took(result<std::vector<v1::FollowItem>> x) {
  if (ended)
    return;
  if (!x)
    return end(std::move(x).why());
  if (x->empty()) // It follows: an end like this is not expected.
    return end(error{ec::unavailable, "the supervisor ended the stream of events", ""});
  std::move(x->begin(), x->end(), std::back_inserter(items));
  go_on();
}

void subscription::impl::go_on() {
  for (int n = 0; n < most_in_a_row && !items.empty(); ++n) {
    if (!hand_on(items.front()))
      return;
    if (ended)
      return;
    items.pop_front();
    tries = 0;
    pause_length = options.first_pause;
  }
  if (items.empty())
    return pull();
  site->react().later([weak = weak_from_this()] {
    if (auto me = weak.lock(); me && !me->ended)
      me->go_on();
  });
}

bool subscription::impl::hand_on(const v1::FollowItem& item) {
  if (item.has_event())
    return hand_event(item.event());
  if (item.has_container()) {
    list.containers.push_back(library::from_bus(item.container()));
    return true;
  }
  if (!item.has_listed())
    return true;
  list.cursor = {item.listed().epoch(), item.listed().seq()};
  const auto whole = std::exchange(list, {});
  if (!enter())
    return false;
  library::call_out(options.on_list, whole);
  std::lock_guard guard(mutex);
  running = false;
  place = whole.cursor;
  rest.notify_all();
  return true;
}

bool subscription::impl::hand_event(const v1::Event& x) {
  const auto e = library::from_bus(x);
  if (!enter())
    return false;
  const auto how = library::call_out(handler, e);
  left(how ? &e : nullptr);
  return how ? true : refused(e, how.why());
}

bool subscription::impl::refused(const event& e, const error&) {
  const bool enough = options.most_tries > 0 && ++tries >= options.most_tries;
  {
    std::lock_guard guard(mutex);
    ++counted.errors;
    if (enough) {
      ++counted.given_up;
      place = e.cursor();
    }
  }
  if (enough || ended)
    return true;
  pause_length = std::min(std::max(pause_length, options.first_pause), options.longest_pause);
  pause = site->react().after(pause_length, [weak = weak_from_this()] {
    if (auto me = weak.lock(); me && !me->ended)
      me->go_on();
  });
  pause_length *= 2;
  return false;
}

bool subscription::impl::enter() {
  std::lock_guard guard(mutex);
  if (stopped)
    return false;
  running = true;
  return true;
}

void subscription::impl::left(const event* handled) {
  std::lock_guard guard(mutex);
  running = false;
  if (handled != nullptr) {
    place = handled->cursor();
    ++counted.events;
    counted.gaps += handled->type == "gap";
  }
  rest.notify_all();
}

} // namespace gantry
