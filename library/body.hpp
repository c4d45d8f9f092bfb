#pragma once

#include <future>

#include "library/site.hpp"
#include "library/thread.hpp"

namespace gantry {

/// What a handle holds: the library's thread, of one kind or the other.
struct supervisor::impl {
  virtual ~impl() = default;

  /// Ends it and returns when all is released. Any number of times; not on its own thread.
  void finish(std::optional<bool> stop_containers);

  std::shared_ptr<library::site> site; ///< Set once the thread serves.

protected:
  /// Runs `main` on a thread of its own; returns when that has called `serving`, or failed.
  result<void> launch(std::function<void()> main);
  /// From `main`: how the start went.
  void serving(result<void> how) { started_.set_value(std::move(how)); }
  /// On the library's thread: the end begins. None: what the options say.
  virtual void begin_end(std::optional<bool> stop_containers) = 0;

private:
  std::mutex finishing_;
  library::thread thread_;
  std::promise<result<void>> started_;
};

namespace library {

result<std::unique_ptr<supervisor::impl>> make_embedded(start_options how);
result<std::unique_ptr<supervisor::impl>> make_connected(connect_options how);

} // namespace library

} // namespace gantry
