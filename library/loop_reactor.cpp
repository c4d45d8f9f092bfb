#include "library/loop_reactor.hpp"

#include "io/held_poll.hpp"

namespace gantry::library {

namespace {

struct loop_wait final : reactor::wait {
  io::held_poll poll;
};

struct loop_pause final : reactor::wait {
  explicit loop_pause(io::loop& l) : timer(l) {}
  io::timer timer;
};

} // namespace

std::unique_ptr<reactor::wait> loop_reactor::ready(int number, short events,
                                                   std::function<void()> f) {
  auto out = std::make_unique<loop_wait>();
  out->poll.start(loop_, number, uint32_t(events), [f = std::move(f)](int32_t) { f(); });
  return out;
}

std::unique_ptr<reactor::wait> loop_reactor::after(io::nanoseconds time, std::function<void()> f) {
  auto out = std::make_unique<loop_pause>(loop_);
  out->timer.start(time, std::move(f));
  return out;
}

void loop_reactor::close(int number) {
  // A poll of it may be queued still: closed only behind the next turn.
  loop_.post([&l = loop_, number] { l.sys().close(number); });
}

} // namespace gantry::library
