#include "io/linux_spawn.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "messages/check.hpp"

// What runs in the child must not be instrumented: the sanitizers' state is the parent's.
#define GANTRY_IN_CHILD __attribute__((no_sanitize("address", "undefined"), no_stack_protector))

namespace gantry::io {

namespace {

constexpr size_t stack_bytes = 16 * 1024;
constexpr size_t max_idle_blocks = 4;
constexpr int last_signal = 64;

struct fd_move {
  int ours;
  int theirs;
  int scratch; ///< Written by the child.
};

struct fd_range {
  unsigned first;
  unsigned last;
};

/// All that the child needs, prepared before: it only reads this (and `scratch`).
struct child_plan {
  const char* path;
  char* const* argv;
  char* const* envp;
  const char* workdir;
  fd_move* moves;
  size_t move_count;
  const fd_range* unwanted; ///< Ranges of descriptors to close.
  size_t unwanted_count;
  const rlimit* files; ///< RLIMIT_NOFILE, null: ours.
  int above; ///< Higher than every descriptor that the program gets.
};

// A system call that leaves errno alone: the child shares it with us.
__attribute__((always_inline)) GANTRY_IN_CHILD inline long raw(long n, long a = 0, long b = 0,
                                                              long c = 0, long d = 0) {
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  long res;
  __asm__ volatile("syscall"
                   : "=a"(res)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return res;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
#else
#error "write the system call of this architecture"
#endif
}

[[noreturn]] __attribute__((always_inline)) GANTRY_IN_CHILD inline void leave(int code) {
  for (;;)
    raw(SYS_exit_group, code);
}

// Signals as a fresh process has them. All are blocked until the mask is emptied, so no
// handler of ours can run here. 32 and 33, which libc hides, are reset too.
__attribute__((always_inline)) GANTRY_IN_CHILD inline void reset_dispositions() {
  long action[4] = {0, 0, 0, 0}; // The kernel's struct sigaction: SIG_DFL and nothing else.
  for (int sig = 1; sig <= last_signal; ++sig)
    raw(SYS_rt_sigaction, sig, long(&action), 0, sizeof(long long));
}

// First a copy of every source above all targets, so that no target overwrites a source.
__attribute__((always_inline)) GANTRY_IN_CHILD inline bool move_fds(const child_plan& plan) {
  for (size_t i = 0; i < plan.move_count; ++i) {
    long res = raw(SYS_fcntl, plan.moves[i].ours, F_DUPFD, plan.above);
    if (res < 0)
      return false;
    plan.moves[i].scratch = int(res);
  }
  for (size_t i = 0; i < plan.move_count; ++i)
    if (raw(SYS_dup3, plan.moves[i].scratch, plan.moves[i].theirs, 0) < 0)
      return false;
  for (size_t i = 0; i < plan.unwanted_count; ++i)
    if (raw(SYS_close_range, plan.unwanted[i].first, plan.unwanted[i].last, 0) < 0)
      return false;
  return true;
}

// The whole life of the child until its exec. Never returns.
GANTRY_IN_CHILD int child_main(void* arg) {
  const auto& plan = *static_cast<const child_plan*>(arg);
  reset_dispositions();
  raw(SYS_setsid);
  raw(SYS_umask, 022);
  if (raw(SYS_chdir, long(plan.workdir)) < 0)
    leave(126);
  if (!move_fds(plan))
    leave(125);
  if (plan.files != nullptr)
    raw(SYS_setrlimit, RLIMIT_NOFILE, long(plan.files));
  long empty = 0;
  raw(SYS_rt_sigprocmask, SIG_SETMASK, long(&empty), 0, sizeof(long long));
  long res = raw(SYS_execve, long(plan.path), long(plan.argv), long(plan.envp));
  leave(res == -ENOENT ? 127 : 126);
}

std::vector<char*> pointers_of(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (auto& t : texts)
    out.push_back(t.data());
  out.push_back(nullptr);
  return out;
}

} // namespace

struct spawner::block {
  block() {
    stack = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  }
  ~block() {
    if (stack != MAP_FAILED)
      ::munmap(stack, stack_bytes);
  }
  block(const block&) = delete;
  block& operator=(const block&) = delete;

  void prepare(const spawn_request& from, const std::optional<rlimit>& limit);
  bool left() const noexcept { return in_our_memory.load(std::memory_order_acquire) == 0; }

  std::atomic<int> in_our_memory{0}; ///< Cleared by the kernel.
  void* stack = MAP_FAILED;
  spawn_request what;
  std::vector<char*> argv, envp;
  std::vector<fd_move> moves;
  std::vector<fd_range> unwanted;
  std::optional<rlimit> files;
  child_plan plan{};
};

void spawner::block::prepare(const spawn_request& from, const std::optional<rlimit>& limit) {
  what = from;
  files = limit;
  argv = pointers_of(what.argv);
  envp = pointers_of(what.env);
  moves.clear();
  unwanted.clear();
  std::vector<unsigned> kept;
  for (auto [ours, theirs] : what.fds) {
    GANTRY_CHECK(ours >= 0 && theirs >= 0);
    moves.push_back({ours, theirs, -1});
    kept.push_back(unsigned(theirs));
  }
  std::sort(kept.begin(), kept.end());
  GANTRY_CHECK(kept.size() >= 3 && kept[0] == 0 && kept[1] == 1 && kept[2] == 2);
  unsigned next = 0;
  for (auto k : kept) {
    GANTRY_CHECK(k >= next || next == 0); // Each target once.
    if (k > next)
      unwanted.push_back({next, k - 1});
    next = k + 1;
  }
  unwanted.push_back({next, ~0u});
  plan = {what.path.c_str(), argv.data(),     envp.data(),     what.workdir.c_str(), moves.data(),
          moves.size(),      unwanted.data(), unwanted.size(), files ? &*files : nullptr,
          int(next)};
}

spawner::spawner() = default;

spawner::~spawner() {
  for (auto& b : busy_) {
    for (int tries = 0; tries < 20 && !b->left(); ++tries) {
      timespec pause{0, 100'000'000};
      ::syscall(SYS_futex, &b->in_our_memory, FUTEX_WAIT, 1, &pause, nullptr, 0);
    }
    if (!b->left())
      static_cast<void>(b.release()); // A child still stands on it: leaking is the right end.
  }
}

int spawner::spawn(const spawn_request& what, child& out) {
  sweep();
  auto b = take_block();
  if (b->stack == MAP_FAILED)
    return -ENOMEM;
  b->prepare(what, files_);
  b->in_our_memory.store(1, std::memory_order_release);

  // Everything, 32 and 33 too: no handler of ours may run in the child.
  uint64_t all = ~uint64_t(0);
  uint64_t before = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
  int pidfd = -1;
  int flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD;
  int pid = ::clone(child_main, static_cast<char*>(b->stack) + stack_bytes, flags, &b->plan,
                    &pidfd, nullptr, &b->in_our_memory);
  int err = errno;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));

  if (pid < 0) {
    b->in_our_memory.store(0, std::memory_order_release);
    return -err;
  }
  busy_.push_back(std::move(b));
  out = {pid, pidfd};
  return 0;
}

size_t spawner::before_exec() noexcept {
  sweep();
  return busy_.size();
}

std::unique_ptr<spawner::block> spawner::take_block() {
  if (idle_.empty())
    return std::make_unique<block>();
  auto b = std::move(idle_.back());
  idle_.pop_back();
  return b;
}

void spawner::sweep() noexcept {
  auto first_left = std::partition(busy_.begin(), busy_.end(), [](auto& b) { return !b->left(); });
  for (auto i = first_left; i != busy_.end() && idle_.size() < max_idle_blocks; ++i)
    idle_.push_back(std::move(*i));
  busy_.erase(first_left, busy_.end());
}

} // namespace gantry::io
