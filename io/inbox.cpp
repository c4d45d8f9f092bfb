#include "io/inbox.hpp"

#include <memory>
#include <sched.h>

#include "messages/check.hpp"

namespace gantry::io {

inbox::~inbox() { GANTRY_CHECK(newest_.load() == &shut_); }

bool inbox::post(std::function<void()> f) {
  auto mine = std::make_unique<letter>();
  mine->f = std::move(f);
  inside_.fetch_add(1);
  auto* before = newest_.load();
  do {
    if (before == &shut_) {
      inside_.fetch_sub(1);
      return false;
    }
    mine->next = before;
  } while (!newest_.compare_exchange_weak(before, mine.get()));
  static_cast<void>(mine.release()); // The taker's from here on.
  if (before == nullptr)
    wake_();
  inside_.fetch_sub(1);
  return true;
}

void inbox::run_all(letter* newest_first) {
  letter* first = nullptr;
  while (newest_first != nullptr) {
    auto* next = newest_first->next;
    newest_first->next = first;
    first = newest_first;
    newest_first = next;
  }
  while (first != nullptr) {
    const std::unique_ptr<letter> one{first};
    first = one->next;
    one->f();
  }
}

bool inbox::run() {
  if (!ready())
    return false;
  run_all(newest_.exchange(nullptr));
  return true;
}

void inbox::close() {
  auto* last = newest_.exchange(&shut_);
  GANTRY_CHECK(last != &shut_);
  while (inside_.load() > 0) // A few instructions and one write: it is about to leave.
    ::sched_yield();
  run_all(last);
}

bool inbox::ready() const noexcept {
  auto* all = newest_.load(std::memory_order_acquire);
  return all != nullptr && all != &shut_;
}

} // namespace gantry::io
