#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <poll.h>

#include "gateways/client/call.hpp"
#include "gateways/client/connection.hpp"

namespace gantry::client {

/// How patient a channel is: policy, plain data.
struct channel_policy {
  std::chrono::milliseconds outage{10'000}; ///< How long gantryd may be away, in all.
  std::chrono::milliseconds first_pause{5}; ///< Before the first reconnect; then doubled.
  std::chrono::milliseconds longest_pause{250};
};

/// The way to gantryd, which survives its death: a lost connection is made again and the
/// calls under way are repeated on it (a changing request carries its request_id, a
/// stream its cursor), until the outage has lasted too long. Somebody who was never
/// there is reported at once. One thread; it works only inside `step` and `ask`.
class channel {
public:
  explicit channel(std::string socket, channel_policy policy = {});
  ~channel();
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  /// Begins a call, with the next step. `c` must stay until `done` or `drop`.
  void start(call& c);

  /// Ends a call without a `done`.
  void drop(const call& c);

  /// One more message of a call that talks. Without a connection it is lost: the call hears
  /// of that when it is asked for its `request` again.
  void say(const call& c, const google::protobuf::MessageLite& message);

  /// The end of what a call that talks has to say.
  void end_talk(const call& c);

  /// While held, nothing is read from the socket: for a caller whose own output is full.
  void hold(bool on) noexcept { held_ = on; }

  /// Waits for the socket or one of `others`, whose `revents` it fills, and runs what
  /// came. Returns after one round, or after `timeout_ms` (-1: none).
  void step(std::span<pollfd> others, int timeout_ms);

  /// The two halves of a step, for who polls several things. What to poll for (connects, if
  /// that is due: calls may end in it); lowers `timeout_ms` to when it wants to be turned at
  /// the latest. Then `turn` with what poll(2) said of it.
  [[nodiscard]] pollfd want(int& timeout_ms);
  void turn(short revents);

  /// Asks and waits for the answer.
  template <class Reply>
  [[nodiscard]] result<Reply> ask(const char* method, const google::protobuf::MessageLite& what) {
    unary<Reply> c(method, what);
    start(c);
    while (!c.finished())
      step({}, -1);
    return c.take();
  }

private:
  using clock = std::chrono::steady_clock;

  void try_connect();
  void lose(const error& why);
  void fail_all(const error& why);
  void deliver_ended();
  void finish(call& c, result<void> how);
  [[nodiscard]] int poll_timeout(int wanted_ms) const;
  [[nodiscard]] error given_up(const error& last) const;

  std::string socket_;
  channel_policy policy_;
  std::unique_ptr<connection> link_;
  std::vector<call*> calls_; ///< Under way, on `link_` or waiting for one.
  clock::time_point linked_at_;
  clock::time_point retry_at_;
  std::optional<clock::time_point> outage_since_;
  std::chrono::milliseconds pause_{0};
  bool held_ = false;
};

} // namespace gantry::client
