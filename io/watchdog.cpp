#include "io/watchdog.hpp"

#include <csignal>
#include <ctime>
#include <sys/syscall.h>
#include <unistd.h>

#include "messages/check.hpp"

// glibc 2.36 has the field only under its private name.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace gantry::io {

namespace {

using std::chrono::nanoseconds;

nanoseconds clock_now() noexcept {
  timespec ts{};
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return std::chrono::seconds(ts.tv_sec) + nanoseconds(ts.tv_nsec);
}

} // namespace

watchdog::watchdog(std::chrono::milliseconds limit) : limit_(limit) {
  GANTRY_CHECK(limit.count() > 0);
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGABRT;
  event.sigev_notify_thread_id = pid_t(::syscall(SYS_gettid));
  GANTRY_CHECK(::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0);
}

watchdog::~watchdog() { ::timer_delete(timer_); }

void watchdog::arm() noexcept {
  auto now = clock_now();
  if (armed_ && now - armed_at_ <= limit_ / 2)
    return;
  armed_at_ = now;
  armed_ = true;
  set(limit_);
}

void watchdog::disarm() noexcept {
  if (!armed_)
    return;
  armed_ = false;
  set(nanoseconds(0));
}

nanoseconds watchdog::safe_until() const noexcept {
  return armed_ ? armed_at_ + limit_ / 2 : nanoseconds::max();
}

void watchdog::set(nanoseconds after) noexcept {
  itimerspec spec{};
  spec.it_value.tv_sec = after.count() / 1'000'000'000;
  spec.it_value.tv_nsec = after.count() % 1'000'000'000;
  GANTRY_CHECK(::timer_settime(timer_, 0, &spec, nullptr) == 0);
}

} // namespace gantry::io
