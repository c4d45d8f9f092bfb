#include "tests/sim/sim_process.hpp"

#include <csignal>
#include <utility>

#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

/// A program that waits in read(2) or write(2).
class process::blocked final : public listener {
public:
  blocked(process& self, description_ptr on) : self_(self), on(std::move(on)) {}

  void changed() override {
    if (std::exchange(woken_, true))
      return;
    self_.after(self_.rng().between(500ns, 20us),
                [this, self = &self_] { self->try_again(*this); });
  }
  void rest() {
    woken_ = false;
    listen_to(*on->changes());
  }

  process& self_;
  description_ptr on;
  std::string bytes;                                 ///< To write; empty for a read.
  size_t done = 0;
  size_t most = 0;                                   ///< To read.
  std::function<void()> written;
  std::function<void(std::string)> got;

private:
  bool woken_ = false;
};

process::process(machine& m, pid_t number, uint64_t ticks)
  : host(m), pid(number), start_ticks(ticks) {}

process::~process() = default;

void process::cut() {
  blocked_.clear();
  deferred_.clear();
  pending_.clear();
  fds.clear();
}

bool process::frozen() const { return host.groups.frozen(cgroup); }

dice& process::rng() const { return host.rng; }

void process::after(nanoseconds span, std::function<void()> f) {
  host.time.in(span, [weak = weak_from_this(), f = std::move(f)]() mutable {
    auto self = weak.lock();
    if (!self || !self->alive())
      return;
    if (self->frozen() || (self->body && self->body->uninterruptible() && !self->pending_.empty()))
      self->deferred_.push_back(std::move(f));
    else
      f();
  });
}

void process::write_all(int fd, std::string bytes, std::function<void()> then) {
  auto it = fds.find(fd);
  if (it == fds.end() || !it->second->changes()) { // Closed, or /dev/null.
    after(0ns, std::move(then));
    return;
  }
  auto b = std::make_unique<blocked>(*this, it->second);
  b->bytes = std::move(bytes);
  b->written = std::move(then);
  blocked_.push_back(std::move(b));
  blocked_.back()->changed();
}

void process::read_some(int fd, size_t most, std::function<void(std::string)> then) {
  auto it = fds.find(fd);
  if (it == fds.end() || !it->second->changes()) {
    after(0ns, [then = std::move(then)] { then({}); });
    return;
  }
  auto b = std::make_unique<blocked>(*this, it->second);
  b->most = most;
  b->got = std::move(then);
  blocked_.push_back(std::move(b));
  blocked_.back()->changed();
}

void process::try_again(blocked& b) {
  auto finish = [this, &b] {
    auto it = std::find_if(blocked_.begin(), blocked_.end(),
                           [&b](const auto& x) { return x.get() == &b; });
    auto held = std::move(*it);
    blocked_.erase(it);
    return held;
  };
  if (b.most > 0) {
    std::string got(b.most, '\0');
    const ssize_t n = b.on->read(got);
    if (n == -EAGAIN)
      return b.rest();
    got.resize(size_t(std::max<ssize_t>(n, 0)));
    auto held = finish();
    return held->got(std::move(got));
  }
  while (b.done < b.bytes.size()) {
    const ssize_t n = b.on->write(std::span(b.bytes).subspan(b.done));
    if (n == -EAGAIN)
      return b.rest();
    if (n == -EPIPE)
      return die_of(SIGPIPE);
    if (n < 0)
      break;
    b.done += size_t(n);
  }
  auto held = finish();
  held->written();
}

void process::exit(int code) {
  if (alive())
    host.end(*this, (code & 0xff) << 8);
}

void process::die_of(int sig, bool core) {
  if (alive())
    host.end(*this, sig | (core ? 0x80 : 0));
}

void process::take_signal(int sig) {
  if (!alive() || sig == 0)
    return;
  const bool freeze_holds = host.groups.frozen_v1(cgroup) || (frozen() && sig != SIGKILL);
  if (freeze_holds || (body && body->uninterruptible())) {
    pending_.push_back(sig);
    return;
  }
  if (sig == SIGKILL)
    return die_of(SIGKILL);
  if (sig == SIGCHLD || sig == SIGWINCH || sig == SIGURG || sig == SIGCONT || sig == SIGSTOP)
    return;
  if (body && body->on_signal(*this, sig))
    return;
  if (!ns_init)
    die_of(sig, sig == SIGQUIT || sig == SIGABRT || sig == SIGSEGV);
}

void process::go_on() {
  auto keep = shared_from_this();
  if (frozen() || (body && body->uninterruptible()))
    return;
  for (int sig : std::exchange(pending_, {}))
    take_signal(sig);
  for (auto& f : std::exchange(deferred_, {}))
    if (alive() && !frozen())
      f();
    else if (alive())
      deferred_.push_back(std::move(f));
}

uint32_t pid_handle::ready() const {
  if (process_->at == process::phase::zombie)
    return POLLIN;
  if (process_->at == process::phase::reaped)
    return process_->host.options.pidfd_hangs_up ? POLLIN | POLLHUP : POLLIN;
  return 0;
}

} // namespace gantry::sim
