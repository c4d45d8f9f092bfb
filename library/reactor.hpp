#pragma once

#include <functional>
#include <memory>

#include "io/kernel.hpp"

namespace gantry::library {

/// Readiness, time and visitors for the library's thread, whichever loop it turns: the ring's
/// for a supervisor of our own, poll(2) for a connection to another's. All but `post` is for
/// that thread.
class reactor {
public:
  /// Something awaited. Its end cancels it: no call comes after that.
  class wait {
  public:
    virtual ~wait() = default;
  };

  virtual ~reactor() = default;

  /// Calls `f` once, when poll(2) would report one of `events` on `number`, or its hang-up.
  virtual std::unique_ptr<wait> ready(int number, short events, std::function<void()> f) = 0;

  /// Calls `f` once, after that time.
  virtual std::unique_ptr<wait> after(io::nanoseconds time, std::function<void()> f) = 0;

  /// Runs `f` soon, never from inside this call.
  virtual void later(std::function<void()> f) = 0;

  /// Closes a descriptor that nothing is waited for any more.
  virtual void close(int number) = 0;

  /// From any thread: runs `f` on the library's, in the order of the calls. False when the
  /// supervisor has ended.
  virtual bool post(std::function<void()> f) = 0;
};

} // namespace gantry::library
