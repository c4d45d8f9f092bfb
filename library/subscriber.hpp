#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "library/site.hpp"

namespace gantry {

/// One subscription: pulls items from its source, hands them on one by one, and tries again
/// what the handler refused. The source is not asked for more meanwhile.
struct subscription::impl final : library::guest,
                                  std::enable_shared_from_this<subscription::impl> {
  impl(std::shared_ptr<library::site> at, subscribe_options how, event_handler f)
    : site(std::move(at)), options(std::move(how)), handler(std::move(f)),
      place(options.since.value_or(event_cursor{})) {}

  void begin(); ///< On the library's thread, as all below but `stop`.
  void stop();  ///< From any thread.
  void end(std::optional<error> why); ///< None: it was asked to.
  void follow(const v1::FollowRequest& what);
  void pull();
  void took(result<std::vector<v1::FollowItem>> x);
  void go_on();
  bool hand_on(const v1::FollowItem& item); ///< False: not now.
  bool hand_event(const v1::Event& x);
  bool refused(const event& e, const error& why);
  bool enter();
  void left(const event* handled);

  // library::guest
  void leave(const error& why) override;
  [[nodiscard]] bool idle() const override { return items.empty(); }

  const std::shared_ptr<library::site> site;
  const subscribe_options options;
  const event_handler handler;

  // the library's thread
  std::unique_ptr<actors::event_source> source;
  std::deque<v1::FollowItem> items;
  std::unique_ptr<library::reactor::wait> pause;
  nanoseconds pause_length{0};
  uint32_t tries = 0;
  container_list list;
  bool ended = false;

  mutable std::mutex mutex; ///< Guards what follows.
  std::condition_variable rest;
  bool stopped = false;
  bool running = false; ///< A handler of the program is at work.
  event_cursor place;
  subscription_counters counted;
};

} // namespace gantry
