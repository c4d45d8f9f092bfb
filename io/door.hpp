#pragma once

#include "io/inbox.hpp"
#include "io/loop.hpp"

namespace gantry::io {

/// The way onto the loop for other threads: what they bring runs in its next turn, behind the
/// actors.
class door final : public turn_hook {
public:
  /// On the loop's thread.
  explicit door(loop& l) : loop_(l), inbox_([&l] { l.sys().wake(); }) { loop_.add_hook(*this); }

  /// From any thread, the loop's too. False once closed: `f` will not run.
  bool post(std::function<void()> f) { return inbox_.post(std::move(f)); }

  /// On the loop's thread: runs what has come in, and lets nobody in any more. From then on
  /// the loop may go before the door does.
  void close() {
    inbox_.close();
    loop_.remove_hook(*this);
  }

  // turn_hook
  void run_some() override { inbox_.run(); }
  [[nodiscard]] bool ready() const noexcept override { return inbox_.ready(); }
  [[nodiscard]] nanoseconds deadline() const noexcept override { return nanoseconds::max(); }

private:
  loop& loop_;
  inbox inbox_;
};

} // namespace gantry::io
