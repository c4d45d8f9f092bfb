#pragma once

#include <functional>

#include <pthread.h>

#include "messages/result.hpp"

namespace gantry::library {

/// The library's thread. It is born with all signals blocked but those of faults, so that what
/// is sent to the program around us goes to its own threads, and nobody's mask is touched.
class thread {
public:
  thread() = default;
  ~thread(); ///< After `join`.
  thread(const thread&) = delete;
  thread& operator=(const thread&) = delete;

  result<void> start(std::function<void()> f);
  void join();

private:
  pthread_t id_{};
  bool started_ = false;
};

} // namespace gantry::library
