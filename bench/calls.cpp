#include <array>
#include <cstdio>
#include <ctime>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/session.hpp"

namespace gantry::bench {

namespace {

constexpr auto call = "/gantry.v1.Containers/List";

/// CPU that a process has used, with all its threads, those that are gone as well:
/// clock_getcpuclockid(3).
int64_t cpu_ns_of(pid_t pid) {
  clockid_t clock{};
  timespec t{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &t) != 0)
    give_up("the CPU clock of gantryd cannot be read");
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

bool pass_on(int socket) {
  std::array<char, 64> bytes{};
  pollfd p{socket, POLLIN, 0};
  ::poll(&p, 1, -1);
  const auto n = ::read(socket, bytes.data(), bytes.size());
  return n > 0 && ::write(socket, bytes.data(), static_cast<size_t>(n)) == n;
}

/// The least that a call between two processes takes here: a few bytes there and back.
std::vector<int64_t> bare_calls(int64_t count) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    give_up("no socketpair");
  const auto child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    while (pass_on(ends[1])) {
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  std::vector<int64_t> out;
  std::array<char, 64> bytes{};
  for (int64_t i = 0; i < count; ++i) {
    const auto began = now_ns();
    pollfd p{ends[0], POLLIN, 0};
    if (::write(ends[0], bytes.data(), bytes.size()) < 0 || ::poll(&p, 1, -1) != 1
        || ::read(ends[0], bytes.data(), bytes.size()) <= 0)
      give_up("the other end has gone");
    out.push_back(now_ns() - began);
  }
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return out;
}

} // namespace

/// Unary calls on one connection: one behind the other, then 1,000 a second for some seconds.
int calls(const words& w) {
  session s(w.text("socket"));
  const v1::ListRequest what;
  std::vector<int64_t> call_ns;
  for (int64_t i = 0; i < w.number("count", 5000); ++i) {
    const auto began = now_ns();
    s.ask<v1::ListReply>(call, what);
    call_ns.push_back(now_ns() - began);
  }
  const auto bare_ns = bare_calls(w.number("count", 5000));
  constexpr int64_t pause_ns = 1'000'000;
  const auto pid = static_cast<pid_t>(w.number("pid", 0));
  const auto wanted = w.number("seconds", 10) * 1'000'000'000 / pause_ns;
  const auto cpu = cpu_ns_of(pid);
  const auto began = now_ns();
  for (int64_t i = 0; i < wanted; ++i) {
    if (const auto left = began + i * pause_ns - now_ns(); left > 0) {
      const timespec pause{0, left};
      ::nanosleep(&pause, nullptr);
    }
    s.ask<v1::ListReply>(call, what);
  }
  const auto took = now_ns() - began;
  std::printf("{%s, %s, \"calls\": %lld, \"wall_ns\": %lld, \"cpu_ns\": %lld}\n",
              list_of("call_ns", call_ns).c_str(), list_of("bare_ns", bare_ns).c_str(),
              static_cast<long long>(wanted),
              static_cast<long long>(took), static_cast<long long>(cpu_ns_of(pid) - cpu));
  return 0;
}

} // namespace gantry::bench
