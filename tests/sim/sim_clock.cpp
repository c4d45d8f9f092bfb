#include "tests/sim/sim_clock.hpp"

#include <algorithm>
#include <utility>

namespace gantry::sim {

void clock::in(nanoseconds after, std::function<void()> f) {
  heap_.push_back({now_ + std::max(after, nanoseconds(0)), order_++, std::move(f)});
  std::push_heap(heap_.begin(), heap_.end(), later{});
}

nanoseconds clock::next() const noexcept {
  return heap_.empty() ? nanoseconds::max() : heap_.front().when;
}

void clock::advance_to(nanoseconds when) {
  if (running_) // An event that moves time on: the outer call runs what is due.
    return;
  running_ = true;
  while (!heap_.empty() && heap_.front().when <= when) {
    std::pop_heap(heap_.begin(), heap_.end(), later{});
    event e = std::move(heap_.back());
    heap_.pop_back();
    now_ = std::max(now_, e.when);
    e.deed();
  }
  now_ = std::max(now_, when);
  running_ = false;
}

} // namespace gantry::sim
