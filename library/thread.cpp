#include "library/thread.hpp"

#include <csignal>
#include <memory>
#include <utility>

#include "messages/check.hpp"

namespace gantry::library {

namespace {

void* run(void* what) {
  ::pthread_setname_np(::pthread_self(), "gantry");
  const std::unique_ptr<std::function<void()>> f{static_cast<std::function<void()>*>(what)};
  (*f)();
  return nullptr;
}

} // namespace

thread::~thread() { GANTRY_CHECK(!started_); }

result<void> thread::start(std::function<void()> f) {
  GANTRY_CHECK(!started_);
  sigset_t all;
  sigfillset(&all);
  // A fault is this thread's own business, and the program's handlers for it are welcome.
  for (const int sig : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT})
    sigdelset(&all, sig);
  pthread_attr_t how;
  ::pthread_attr_init(&how);
  ::pthread_attr_setsigmask_np(&how, &all);
  auto job = std::make_unique<std::function<void()>>(std::move(f));
  const int rc = ::pthread_create(&id_, &how, run, job.get());
  ::pthread_attr_destroy(&how);
  if (rc != 0)
    return from_errno(rc, "start", "the supervisor's thread");
  static_cast<void>(job.release()); // The thread's.
  started_ = true;
  return {};
}

void thread::join() {
  if (std::exchange(started_, false))
    ::pthread_join(id_, nullptr);
}

} // namespace gantry::library
