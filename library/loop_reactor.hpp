#pragma once

#include "io/door.hpp"
#include "library/reactor.hpp"

namespace gantry::library {

/// The reactor of a supervisor of our own: the ring's loop. Outlives the loop once closed.
class loop_reactor final : public reactor {
public:
  explicit loop_reactor(io::loop& l) : loop_(l), door_(l) {}

  std::unique_ptr<wait> ready(int number, short events, std::function<void()> f) override;
  std::unique_ptr<wait> after(io::nanoseconds time, std::function<void()> f) override;
  void later(std::function<void()> f) override { loop_.post(std::move(f)); }
  void close(int number) override;
  bool post(std::function<void()> f) override { return door_.post(std::move(f)); }

  /// Nobody gets in any more.
  void shut() { door_.close(); }

private:
  io::loop& loop_;
  io::door door_;
};

} // namespace gantry::library
