#include "io/linux_kernel.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/linux_spawn.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

namespace {

// user_data of our own requests; an op's address is never so small.
constexpr uint64_t cancel_tag = 0;
constexpr uint64_t wake_tag = 1;

nanoseconds clock_now(clockid_t which) noexcept {
  timespec ts{};
  ::clock_gettime(which, &ts);
  return std::chrono::seconds(ts.tv_sec) + nanoseconds(ts.tv_nsec);
}

std::string disabled_sysctl() {
  std::string out;
  if (auto* f = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
    if (int c = std::fgetc(f); c != EOF)
      out.push_back(char(c));
    std::fclose(f);
  }
  return out;
}

} // namespace

linux_kernel::linux_kernel() : version_(running_kernel()), spawner_(std::make_unique<spawner>()) {}

result<std::unique_ptr<linux_kernel>> linux_kernel::make(ring_policy policy) {
  std::unique_ptr<linux_kernel> k(new linux_kernel);
  if (auto r = k->open_ring(policy); !r)
    return std::move(r).why();
  k->wake_fd_ = k->eventfd();
  if (k->wake_fd_ < 0)
    return from_errno(-k->wake_fd_, "make", "an eventfd");
  k->arm_wake();
  return k;
}

result<void> linux_kernel::open_ring(const ring_policy& policy) {
  io_uring_params p{};
  p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  p.cq_entries = policy.cq_entries;
  int res = io_uring_queue_init_params(policy.sq_entries, &ring_, &p);
  if (res < 0)
    return ring_refused(-res, version_, disabled_sysctl());
  ring_made_ = true;
  if (auto r = probe_ring(ring_); !r)
    return r;
  unsigned workers[2] = {policy.bounded_workers, policy.unbounded_workers};
  res = io_uring_register_iowq_max_workers(&ring_, workers);
  if (res < 0)
    return from_errno(-res, "bound", "the workers of io_uring");
  io_uring_register_ring_fd(&ring_); // Saves a look-up in each enter; no matter if it fails.
  return {};
}

linux_kernel::~linux_kernel() {
  GANTRY_CHECK(in_kernel_ == 0 && waiting_.empty() && cancelled_early_.empty());
  if (ring_made_)
    io_uring_queue_exit(&ring_); // Ends the poll of wake_fd_, which touches no memory of ours.
  if (wake_fd_ >= 0)
    ::close(wake_fd_);
  if (own_network_ >= 0)
    ::close(own_network_);
}

// -- requests ------------------------------------------------------------------

void linux_kernel::submit(op& x) {
  GANTRY_CHECK(!x.in_flight());
  op_access::set_in_flight(x, true);
  waiting entry{&x, false};
  if (!waiting_.empty() || !enqueue(entry))
    waiting_.push_back(entry); // Order is kept: a cancel never overtakes what it cancels.
}

void linux_kernel::cancel(op& x) {
  if (!x.in_flight())
    return;
  auto same = [&x](const waiting& w) { return w.what == &x && !w.is_cancel; };
  if (auto place = std::find_if(waiting_.begin(), waiting_.end(), same); place != waiting_.end()) {
    waiting_.erase(place);
    cancelled_early_.push_back(&x);
    return;
  }
  waiting entry{&x, true};
  if (!waiting_.empty() || !enqueue(entry))
    waiting_.push_back(entry);
}

// An entry of the submission queue. A full queue is handed to the kernel, which completes
// nothing on the way (DEFER_TASKRUN: only an enter with GETEVENTS does). Null if the kernel
// has no memory for it now.
io_uring_sqe* linux_kernel::free_entry() {
  auto* sqe = io_uring_get_sqe(&ring_);
  if (sqe)
    return sqe;
  int res = io_uring_submit(&ring_);
  if (res < 0 && res != -EAGAIN && res != -EBUSY && res != -EINTR)
    impossible("io_uring_submit", res);
  return io_uring_get_sqe(&ring_);
}

bool linux_kernel::enqueue(const waiting& x) {
  auto* sqe = free_entry();
  if (!sqe)
    return false;
  *sqe = io_uring_sqe{};
  if (x.is_cancel) {
    io_uring_prep_cancel64(sqe, reinterpret_cast<uint64_t>(x.what), 0);
    sqe->user_data = cancel_tag;
    return true;
  }
  op_access::prepare(*x.what, *sqe);
  sqe->user_data = reinterpret_cast<uint64_t>(x.what);
  ++in_kernel_;
  return true;
}

void linux_kernel::enqueue_waiting() {
  while (!waiting_.empty() && enqueue(waiting_.front()))
    waiting_.pop_front();
}

// A poll, not a read: the kernel then holds no pointer into this object.
void linux_kernel::arm_wake() {
  auto* sqe = free_entry();
  if (!sqe)
    return; // The next turn tries again.
  *sqe = io_uring_sqe{};
  io_uring_prep_poll_add(sqe, wake_fd_, POLLIN);
  sqe->user_data = wake_tag;
  wake_armed_ = true;
}

void linux_kernel::turn(nanoseconds deadline, std::vector<completion>& out) {
  enqueue_waiting();
  if (!wake_armed_)
    arm_wake();
  for (auto* x : cancelled_early_)
    out.push_back({x, -ECANCELED, 0});
  cancelled_early_.clear();
  if (!out.empty() || !waiting_.empty())
    deadline = nanoseconds(0);
  if (deadline > nanoseconds(0) || must_enter())
    enter(deadline);
  collect(out);
}

bool linux_kernel::must_enter() const noexcept {
  auto flags = *const_cast<volatile unsigned*>(ring_.sq.kflags);
  return io_uring_sq_ready(&ring_) > 0 ||
         (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

void linux_kernel::enter(nanoseconds deadline) {
  int res = 0;
  if (deadline == nanoseconds::max()) {
    res = io_uring_submit_and_wait(&ring_, 1);
  } else if (auto left = deadline - monotonic(); deadline > nanoseconds(0) && left.count() > 0) {
    __kernel_timespec ts{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    io_uring_cqe* first = nullptr;
    res = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &ts, nullptr);
  } else if (must_enter()) {
    res = io_uring_submit_and_get_events(&ring_);
  }
  switch (res < 0 ? -res : 0) {
  case 0:
  case EINTR:  // A signal: the loop looks around and comes back.
  case ETIME:  // The deadline.
  case EAGAIN: // No memory for a request now; what is queued stays queued.
  case EBUSY:  // Completions must be collected first, which comes next.
    return;
  default:
    impossible("io_uring_enter", res);
  }
}

void linux_kernel::collect(std::vector<completion>& out) {
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    if (cqe->user_data == cancel_tag)
      continue; // 0, ENOENT, EALREADY: the op's own completion says how it ended.
    if (cqe->user_data == wake_tag) {
      wake_armed_ = false;
      uint64_t count = 0;
      [[maybe_unused]] auto n = ::read(wake_fd_, &count, sizeof(count));
      continue;
    }
    out.push_back({reinterpret_cast<op*>(cqe->user_data), cqe->res, cqe->flags});
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
      --in_kernel_;
  }
  io_uring_cq_advance(&ring_, seen);
}

void linux_kernel::wake() noexcept {
  int saved = errno; // A signal handler must leave it alone.
  uint64_t one = 1;
  // EAGAIN: the counter is full, so the turn is woken already.
  [[maybe_unused]] auto n = ::write(wake_fd_, &one, sizeof(one));
  errno = saved;
}

// -- time ----------------------------------------------------------------------

nanoseconds linux_kernel::monotonic() const noexcept { return clock_now(CLOCK_MONOTONIC); }
nanoseconds linux_kernel::realtime() const noexcept { return clock_now(CLOCK_REALTIME); }

} // namespace gantry::io
