#include "library/body.hpp"

#include "messages/check.hpp"

namespace gantry {

result<void> supervisor::impl::launch(std::function<void()> main) {
  auto how = started_.get_future();
  if (auto begun = thread_.start(std::move(main)); !begun)
    return begun;
  auto out = how.get();
  if (!out)
    thread_.join();
  return out;
}

void supervisor::impl::finish(std::optional<bool> stop_containers) {
  if (!site)
    return; // It never began.
  GANTRY_CHECK(!site->here()); // A callback must not wait for its own thread.
  std::lock_guard guard(finishing_);
  site->post([this, stop_containers] { begin_end(stop_containers); });
  thread_.join();
}

} // namespace gantry
