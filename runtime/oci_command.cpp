#include "runtime/oci_command.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>

namespace gantry::runtime {

std::vector<int32_t> children_of(io::kernel& k, int32_t pid) {
  constexpr size_t children_limit = 1u << 20; // The keeper's are all containers.
  std::vector<int32_t> out;
  auto base = "/proc/" + std::to_string(pid) + "/task";
  std::vector<std::string> threads;
  k.list(base, threads);
  for (const auto& thread : threads) {
    std::string text;
    if (k.read_small(base + "/" + thread + "/children", text, children_limit) < 0)
      continue;
    size_t at = 0;
    while (at < text.size()) {
      size_t end = std::min(text.find(' ', at), text.size());
      if (auto child = std::atoi(text.substr(at, end - at).c_str()); child > 0)
        out.push_back(child);
      at = end + 1;
    }
  }
  return out;
}

namespace {

constexpr size_t output_limit = 16u << 10;

/// Slow calls beside the ones that have a place; beyond, they count again.
constexpr size_t slow_factor = 8;

/// How long a killed runtime has to die; one in an uninterruptible sleep does not.
constexpr auto grace = std::chrono::seconds(3);

void kill_one(io::kernel& k, int32_t pid) {
  int fd = k.pidfd_open(pid);
  if (fd < 0)
    return;
  k.pidfd_signal(fd, SIGKILL);
  k.close(fd);
}

} // namespace

/// One process of the runtime: its pidfd, its clocks, its pipe. Kept by its own poll until
/// that has completed, so it may outlive the commands.
class oci_commands::running : public std::enable_shared_from_this<running> {
public:
  running(oci_commands& owner, waiting w)
    : owner_(&owner), loop_(owner.loop_), poll_(loop_), overdue_(loop_), patience_(loop_),
      call_(std::move(w.call)), done_(std::move(w.f)) {}

  /// Spawns it; a positive errno if that fails.
  int begin(io::fd pipe, const io::spawn_request& what) {
    began_ = loop_.sys().monotonic();
    io::child child;
    int rc = loop_.sys().spawn(what, child);
    if (rc < 0)
      return -rc;
    pid_ = child.pid;
    pidfd_ = io::fd(loop_.sys(), child.pidfd);
    pipe_ = std::move(pipe);
    poll_.start(pidfd_.get(), POLLIN,
                [self = shared_from_this()](int32_t bits) { self->woken(bits); });
    overdue_.start(call_.deadline, [this] { over_deadline(); });
    patience_.start(owner_->policy_.patience, [this] { became_slow(); });
    return 0;
  }

  /// The commands go away: nobody is to be called any more.
  void detach() {
    owner_ = nullptr;
    overdue_.cancel();
    patience_.cancel();
    if (poll_.in_flight()) // Else it waits for its program.
      poll_.cancel();
  }

  [[nodiscard]] bool has_place() const noexcept { return has_place_; }
  [[nodiscard]] oci_call& call() noexcept { return call_; }
  [[nodiscard]] io::nanoseconds began() const noexcept { return began_; }
  done take_callback() { return std::move(done_); }

  void set_ticket(uint64_t ticket) noexcept { end_.ticket = ticket; }

private:
  void woken(int32_t bits) {
    if (bits < 0 && !owner_)
      return;
    auto rc = loop_.sys().reap(pidfd_.get(), end_.status);
    if (rc == -EAGAIN && owner_) // a poll that was ended early for no reason of ours
      return poll_.start(pidfd_.get(), POLLIN,
                         [self = shared_from_this()](int32_t more) { self->woken(more); });
    finish();
  }

  void finish() {
    overdue_.cancel();
    patience_.cancel();
    if (!owner_)
      return; // it was undead, and its end was told long ago
    end_.pid = pid_;
    end_.output = drained();
    std::exchange(owner_, nullptr)->ended(this, end_);
  }

  /// What the runtime wrote: it has ended, so it is in the pipe already.
  std::string drained() {
    std::string out(output_limit, '\0');
    size_t have = 0;
    while (pipe_ && have < out.size()) {
      auto n = loop_.sys().read(pipe_.get(), std::span(out).subspan(have));
      if (n <= 0)
        break;
      have += size_t(n);
    }
    out.resize(have);
    return out;
  }

  void over_deadline() {
    if (end_.overdue) { // it was killed and has not died
      end_.undead = true;
      return finish();
    }
    end_.overdue = true;
    ++owner_->stats_.timed_out;
    if (call_.on_overdue)
      call_.on_overdue();
    auto& k = loop_.sys();
    for (int32_t child : children_of(k, pid_))
      kill_one(k, child);
    k.pidfd_signal(pidfd_.get(), SIGKILL);
    overdue_.start(grace, [this] { over_deadline(); });
  }

  void became_slow() {
    size_t slow = owner_->running_.size() - owner_->busy_;
    if (slow >= slow_factor * owner_->policy_.max_in_flight)
      return;
    has_place_ = false;
    --owner_->busy_;
    owner_->launch_some();
  }

  oci_commands* owner_;
  io::loop& loop_;
  io::poll_op poll_;
  io::timer overdue_;
  io::timer patience_;
  oci_call call_;
  done done_;
  io::fd pidfd_;
  io::fd pipe_;
  int32_t pid_ = 0;
  bool has_place_ = true;
  io::nanoseconds began_{};
  oci_end end_;
};

oci_commands::oci_commands(io::loop& l, io::reaper& r, std::string runtime_root,
                           engine_policy policy)
  : loop_(l), reaper_(r), runtime_root_(std::move(runtime_root)), policy_(policy) {}

oci_commands::~oci_commands() {
  for (const auto& one : running_)
    one->detach();
}

bool oci_commands::run(oci_call call, done f) {
  if (queue_.size() >= policy_.max_queued)
    return false;
  queue_.push_back({std::move(call), std::move(f)});
  if (busy_ < policy_.max_in_flight)
    launch_some();
  stats_.queued = queue_.size();
  return true;
}

void oci_commands::settled(const oci_end& end) {
  if (end.ticket != 0)
    reaper_.command_ends(end.ticket);
}

void oci_commands::launch_some() {
  if (std::exchange(launching_, true))
    return; // Who launches goes on by itself.
  while (busy_ < policy_.max_in_flight && !queue_.empty()) {
    auto next = std::move(queue_.front());
    queue_.pop_front();
    launch(std::move(next));
  }
  launching_ = false;
  stats_.queued = queue_.size();
}

int oci_commands::prepare_stdio(oci_call& call, io::fd& ours, io::fd& theirs) {
  auto& k = loop_.sys();
  if (call.stdio[0] >= 0)
    return 0;
  if (!null_) {
    int rc = k.open("/dev/null", O_RDWR);
    if (rc < 0)
      return -rc;
    null_ = io::fd(k, rc);
  }
  int ends[2] = {-1, -1};
  int rc = k.pipe(ends, 0);
  if (rc < 0)
    return -rc;
  ours = io::fd(k, ends[0]);
  theirs = io::fd(k, ends[1]);
  call.stdio = {null_.get(), null_.get(), null_.get()};
  call.stdio[call.keep_output ? 1 : 2] = ends[1];
  return 0;
}

void oci_commands::launch(waiting w) {
  const auto one = std::make_shared<running>(*this, std::move(w));
  running_.insert(one);
  ++busy_;
  stats_.in_flight = running_.size();
  const auto& call = one->call();
  if (call.by_path || !policy_.copy.wanted || !copies_itself(call.runtime))
    return start(one, call.runtime);
  copy_of(call.runtime).ask([this, one](const std::string& path) {
    start(one, path);
    launch_some(); // One that could not be started has given its place back.
  });
}

runtime_copy& oci_commands::copy_of(const std::string& program) {
  auto& out = copies_[program];
  if (!out) {
    const auto dir = runtime_root_ + "-programs/" + std::to_string(copies_.size() - 1);
    loop_.sys().mkdir(runtime_root_ + "-programs", 0700); // Where that fails the copy's link does,
    loop_.sys().mkdir(dir, 0700);                         // which is told.
    out = std::make_unique<runtime_copy>(loop_, program, dir, policy_.copy,
                                         [this, program](auto& path, auto works) {
                                           try_out(program, path, std::move(works));
                                         });
  }
  return *out;
}

void oci_commands::try_out(const std::string& program, const std::string& path,
                           std::function<void(bool)> works) {
  oci_call x;
  x.step = "version";
  x.runtime = path;
  x.argv = {program, "--version"};
  x.keep_output = true;
  x.by_path = true;
  x.deadline = policy_.start_deadline;
  const bool queued = run(std::move(x), [this, works](const oci_end& end) {
    settled(end);
    works(end.fine());
  });
  if (!queued)
    works(false);
}

void oci_commands::start(const std::shared_ptr<running>& one, const std::string& path) {
  io::fd ours;
  io::fd theirs;
  int err = prepare_stdio(one->call(), ours, theirs);
  const auto& call = one->call();
  io::spawn_request what;
  what.path = path;
  what.argv = call.argv;
  // Nothing of our own environment: NOTIFY_SOCKET, LISTEN_FDS and _LIBCONTAINER_* would
  // change what runc does. GOGC=off: a runc command ends before its heap is worth a
  // collection. Create by runc 1.1.5, median (least) of 11 on a quiet machine of two cores:
  // 20.8 (16.0) ms as it is, 19.2 (15.6) with GOGC=off, 21.5 (16.3) with GOMAXPROCS=1, 19.5
  // (16.6) with both.
  what.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
              "GANTRY_OP=" + std::to_string(call.op), "GANTRY_ROOT=" + runtime_root_, "GOGC=off"};
  what.fds = {{call.stdio[0], 0}, {call.stdio[1], 1}, {call.stdio[2], 2}};
  const uint64_t ticket = reaper_.command_begins();
  one->set_ticket(ticket);
  if (err == 0)
    err = one->begin(std::move(ours), what);
  if (err == 0) {
    ++stats_.commands;
    return;
  }
  oci_end end;
  end.spawn_error = err;
  end.ticket = ticket;
  loop_.post([f = one->take_callback(), end] { f(end); });
  --busy_;
  running_.erase(one);
  stats_.in_flight = running_.size();
}

void oci_commands::ended(running* who, oci_end end) {
  auto keep = who->shared_from_this();
  running_.erase(keep);
  busy_ -= who->has_place() ? 1 : 0;
  stats_.in_flight = running_.size();
  stats_.wall_ns += uint64_t((loop_.sys().monotonic() - who->began()).count());
  auto f = who->take_callback();
  launch_some();
  f(std::move(end));
}

} // namespace gantry::runtime
