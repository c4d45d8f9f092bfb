// What a call of the bus costs: server and front on one thread, a blocking client on
// another, one unary call after the other over a unix socket; then several at once, and
// events a second through one Follow.
//
// usage: bus_bench [CALLS]

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

#include "tests/gateways/bus_rig.hpp"

namespace {

using namespace gantry;
using clock_type = std::chrono::steady_clock;

constexpr const char* version_path = "/gantry.v1.Supervisor/Version";

double micros(clock_type::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

/// A loop with a server on a thread of its own, until destroyed.
class served {
public:
  explicit served(const test::listener& at) : thread_([this, &at] { run(at); }) {
    while (!ready_)
      std::this_thread::yield();
  }
  ~served() {
    ends_ = true;
    waker_->wake();
    thread_.join();
  }

private:
  void run(const test::listener& at) {
    auto kernel = io::linux_kernel::make();
    GANTRY_CHECK(kernel.ok());
    waker_ = kernel->get();
    io::loop loop(*waker_);
    test::fake_front front(loop);
    bus::server server(loop, front);
    server.listen(at.fd());
    ready_ = true;
    while (!ends_)
      loop.turn(true);
    bool stopped = false;
    server.stop(io::nanoseconds(0), [&stopped] { stopped = true; });
    while (!stopped)
      loop.turn(true);
    while (loop.turn(false)) {
    }
  }

  io::linux_kernel* waker_ = nullptr;
  std::atomic<bool> ready_{false};
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

/// Turns the client until `done`, waiting in poll(2) for its socket.
template <class Done>
void turn_until(test::bus_client& c, Done done) {
  c.step();
  while (!done()) {
    pollfd waits{c.fd(), POLLIN, 0};
    (void)::poll(&waits, 1, 1000);
    c.step();
  }
}

void one_after_the_other(test::bus_client& c, size_t calls) {
  std::vector<double> took;
  took.reserve(calls);
  const auto begin = clock_type::now();
  for (size_t i = 0; i < calls; ++i) {
    const auto from = clock_type::now();
    const int32_t id = c.call(version_path, "");
    turn_until(c, [&c, id] { return c.at(id).closed; });
    took.push_back(micros(clock_type::now() - from));
    GANTRY_CHECK(c.at(id).status() == 0);
    c.forget(id);
  }
  const double all = micros(clock_type::now() - begin);
  std::sort(took.begin(), took.end());
  std::printf("unary, one at a time   %8.0f calls/s  median %5.1f us  p99 %6.1f us\n",
              double(calls) * 1e6 / all, took[calls / 2], took[calls * 99 / 100]);
}

void many_at_once(test::bus_client& c, size_t calls, size_t together) {
  const auto begin = clock_type::now();
  for (size_t i = 0; i < calls; i += together) {
    std::vector<int32_t> ids;
    for (size_t n = 0; n < together; ++n)
      ids.push_back(c.call(version_path, ""));
    turn_until(c, [&c, &ids] {
      return std::all_of(ids.begin(), ids.end(), [&c](int32_t id) { return c.at(id).closed; });
    });
    for (const int32_t id : ids)
      c.forget(id);
  }
  std::printf("unary, %3zu at a time   %8.0f calls/s\n", together,
              double(calls) * 1e6 / micros(clock_type::now() - begin));
}

void events(test::bus_client& c, size_t count) {
  v1::FollowRequest request;
  request.mutable_filter()->add_containers(std::to_string(count) + ":100");
  const auto begin = clock_type::now();
  const int32_t id = c.call("/gantry.v1.Events/Follow", request.SerializeAsString());
  turn_until(c, [&c, id] { return c.at(id).closed; });
  GANTRY_CHECK(c.at(id).messages().size() == count);
  std::printf("events of 100 bytes    %8.0f events/s\n",
              double(count) * 1e6 / micros(clock_type::now() - begin));
}

} // namespace

int main(int argc, char** argv) {
  const size_t calls = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20'000;
  const test::listener at;
  const served running(at);
  test::bus_client c(at.path());
  c.greet(16u << 20);
  one_after_the_other(c, std::max<size_t>(calls / 10, 100)); // warms up
  one_after_the_other(c, calls);
  many_at_once(c, calls, 64);
  events(c, calls * 10);
}
