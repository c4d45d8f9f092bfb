#pragma once

#include <deque>
#include <map>
#include <set>
#include <vector>

#include <poll.h>

#include "gateways/client/channel.hpp"
#include "io/inbox.hpp"
#include "library/reactor.hpp"

namespace gantry::library {

/// The reactor of a connection to a supervisor elsewhere: poll(2), for hosts and containers
/// that have no io_uring. Turns the channels that are registered with it.
class poll_reactor final : public reactor {
public:
  static result<std::unique_ptr<poll_reactor>> make();
  ~poll_reactor() override; ///< After `shut`.

  std::unique_ptr<wait> ready(int number, short events, std::function<void()> f) override;
  std::unique_ptr<wait> after(io::nanoseconds time, std::function<void()> f) override;
  void later(std::function<void()> f) override { later_.push_back(std::move(f)); }
  void close(int number) override;
  bool post(std::function<void()> f) override { return inbox_.post(std::move(f)); }

  /// A channel is turned from now on, until it is taken away again.
  void add(client::channel& c) { channels_.insert(&c); }
  void remove(client::channel& c) { channels_.erase(&c); }

  void run();                 ///< Turns until `stop`.
  void turn(int timeout_ms);  ///< One turn.
  void stop() { over_ = true; }
  void shut() { inbox_.close(); } ///< Nobody gets in any more.

private:
  struct awaited {
    int number;
    short events;
    std::function<void()> f;
  };
  class handle;
  using clock = std::chrono::steady_clock;

  explicit poll_reactor(int wake_fd);
  int timeout(int wanted_ms) const;
  void run_ready(const std::vector<pollfd>& set, const std::vector<uint64_t>& ids);
  void run_timers();
  void run_later();

  int wake_fd_;
  io::inbox inbox_;
  uint64_t next_ = 1;
  std::map<uint64_t, awaited> awaited_;
  std::map<std::pair<clock::time_point, uint64_t>, std::function<void()>> timers_;
  std::set<client::channel*> channels_;
  std::deque<std::function<void()>> later_; ///< May hold streams, which leave the channels.
  bool over_ = false;
};

} // namespace gantry::library
