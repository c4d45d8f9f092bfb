// Life, death and turns of an incarnation. The direct calls stand in sim_calls.cpp and
// sim_small_files.cpp, the requests in sim_ops.cpp.

#include "tests/sim/sim_kernel.hpp"

#include <csignal>
#include <utility>

#include "messages/check.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

incarnation::incarnation(machine& m, uint64_t kill_at) : host_(m), kill_at_(kill_at) {
  self_ = host_.fork(host_.keeper_process());
  self_->argv = {"gantryd"};
  host_.shelf_keeper.gantryd_starts();
}

incarnation::~incarnation() {
  GANTRY_CHECK(requests_.empty());
  if (!dead_) {
    fds_.clear();
    host_.end(*self_, 0);
    host_.shelf_keeper.gantryd_ended(0);
  } else {
    host_.shelf_keeper.restore();
    host_.shelf_keeper.gantryd_ended(SIGKILL);
  }
}

bool incarnation::step() {
  if (dead_)
    return false;
  if (++calls_ == kill_at_) {
    die();
    return false;
  }
  // The rest of the machine does not stand still while we work.
  host_.time.advance(host_.rng.between(50ns, 2us));
  return true;
}

void incarnation::die() {
  if (std::exchange(dead_, true))
    return;
  host_.shelf_keeper.keep_copy();
  // What a worker of the kernel had begun it ends, and the rest never happens.
  for (auto* r : std::exchange(working_, {}))
    if (r->at == request::stage::working && r->sqe.opcode != IORING_OP_POLL_ADD &&
        host_.rng.chance(0.5))
      effect(*r);
  queue_.clear();
  for (auto& [what, r] : requests_) {
    r->stop_listening();
    r->on.reset();
  }
  close_all();
  // The keeper notes the end of gantryd when it has reaped it; nothing else runs meanwhile.
  host_.end(*self_, SIGKILL);
}

/// Everything but pipes of which we hold both ends and nobody else holds one: what is read from
/// them cannot fail, so whoever is between a write and a read must find his bytes even now.
void incarnation::close_all() {
  std::map<const sim::pipe*, int> ends; // How many ends of it are ours alone.
  auto pipe_of = [](const description_ptr& d) -> const sim::pipe* {
    const auto* end = dynamic_cast<const pipe_end*>(d.get());
    return end ? end->the_pipe().get() : nullptr;
  };
  for (const auto& d : fds_)
    if (const auto* p = pipe_of(d); p && d.use_count() == 1 && p->readers + p->writers == 2)
      ++ends[p];
  for (auto& d : fds_)
    if (const auto* p = pipe_of(d); !p || ends[p] != 2)
      d.reset();
}

size_t incarnation::open_descriptors() const noexcept {
  size_t n = 0;
  for (const auto& d : fds_)
    n += d != nullptr;
  return n;
}

int incarnation::install(description_ptr d) {
  constexpr size_t first = 3;
  if (fds_.size() < first)
    fds_.resize(first);
  for (size_t i = first; i < fds_.size(); ++i)
    if (!fds_[i]) {
      fds_[i] = std::move(d);
      return int(i);
    }
  if (fds_.size() >= size_t(host_.options.fd_limit))
    return -EMFILE;
  fds_.push_back(std::move(d));
  return int(fds_.size() - 1);
}

description_ptr incarnation::get(int fd) const {
  return fd >= 0 && size_t(fd) < fds_.size() ? fds_[size_t(fd)] : nullptr;
}

nanoseconds incarnation::monotonic() const noexcept { return host_.time.now() + afterlife_; }

nanoseconds incarnation::realtime() const noexcept { return host_.time.realtime() + afterlife_; }

void incarnation::submit(io::op& x) {
  GANTRY_CHECK(!requests_.contains(&x));
  io::op_access::set_in_flight(x, true);
  auto r = std::make_unique<request>(*this, x);
  io_uring_sqe sqe{};
  io::op_access::prepare(x, sqe);
  r->posthumous = dead_ && sqe.opcode == IORING_OP_POLL_ADD;
  if (step()) {
    r->sqe = {sqe.opcode, sqe.fd, sqe.off, sqe.addr, sqe.len, sqe.poll32_events};
    queue_.push_back(r.get());
  }
  requests_.emplace(&x, std::move(r));
}

void incarnation::cancel(io::op& x) {
  auto it = requests_.find(&x);
  if (it != requests_.end())
    it->second->posthumous = false;
  if (!step() || it == requests_.end())
    return;
  auto& r = *it->second;
  using stage = request::stage;
  // A worker that has begun cannot be stopped; what waits or is queued can.
  if (r.at == stage::done || (r.at == stage::working && host_.rng.chance(0.5)))
    return;
  r.stop_listening();
  if (r.at == stage::queued)
    std::erase(queue_, &r);
  r.cancelled = true;
  finish(r, -ECANCELED, host_.rng.between(100ns, 5us));
}

nanoseconds incarnation::next_due() const noexcept {
  nanoseconds first = nanoseconds::max();
  for (const auto* r : working_)
    first = std::min(first, r->due);
  return first;
}

void incarnation::run_due() {
  // A copy: what one request does may wake others.
  std::vector<request*> due;
  for (auto* r : working_)
    if (r->at == request::stage::working && r->due <= host_.time.now())
      due.push_back(r);
  for (auto* r : due)
    perform(*r);
  std::erase_if(working_, [](const request* r) { return r->at == request::stage::waiting; });
}

void incarnation::deliver(std::vector<io::completion>& out) {
  // Completions come in any order, and not always all at once.
  std::vector<request*> ready;
  std::erase_if(working_, [&](request* r) {
    const bool yes = r->at == request::stage::done && r->due <= host_.time.now();
    if (yes)
      ready.push_back(r);
    return yes;
  });
  while (!ready.empty()) {
    if (!step())
      return;
    const size_t i = host_.rng.below(ready.size());
    std::swap(ready[i], ready.back());
    auto* r = ready.back();
    ready.pop_back();
    out.push_back({r->what, r->res, 0});
    requests_.erase(r->what);
  }
}

void incarnation::cancel_all(std::vector<io::completion>& out) {
  std::erase_if(requests_, [&](const auto& entry) {
    if (entry.second->posthumous && !buried_)
      return false;
    out.push_back({entry.first, -ECANCELED, 0});
    return true;
  });
}

void incarnation::turn(nanoseconds deadline, std::vector<io::completion>& out) {
  stuck_ = false;
  const size_t before = out.size();
  step();
  while (!dead_) {
    for (auto* r : std::exchange(queue_, {})) {
      if (!step())
        break;
      begin(*r);
    }
    if (dead_)
      break;
    run_due();
    deliver(out);
    if (dead_ || out.size() > before || woken_.exchange(false))
      break;
    const auto next = std::min({next_due(), host_.time.next(), deadline});
    if (next == nanoseconds::max()) {
      stuck_ = true;
      return;
    }
    const bool at_deadline = next == deadline || deadline <= host_.time.now();
    host_.time.advance_to(std::max(next, host_.time.now()));
    if (at_deadline && next_due() > host_.time.now())
      return;
  }
  if (!dead_)
    return;
  cancel_all(out);
  if (out.size() == before && deadline != nanoseconds::max())
    afterlife_ = std::max(afterlife_, deadline - host_.time.now());
}

} // namespace gantry::sim
