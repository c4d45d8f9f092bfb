#include "apps/keeper/dead_table.hpp"

#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gantry::keeper {

namespace {

constexpr int wake_after = 16; // gantryd hears of the first of a batch, then after so many

/// Writes a number and what follows; `at` must have room for both.
void compose(char* at, uint32_t number, const char* tail) noexcept {
  char digits[10];
  int n = 0;
  do
    digits[n++] = static_cast<char>('0' + number % 10);
  while ((number /= 10) != 0);
  while (n > 0)
    *at++ = digits[--n];
  std::memcpy(at, tail, std::strlen(tail) + 1);
}

/// The raw status, as waitpid would have given it.
int raw_status(const siginfo_t& x) noexcept {
  if (x.si_code == CLD_EXITED)
    return (x.si_status & 0xff) << 8;
  return x.si_status | (x.si_code == CLD_DUMPED ? 0x80 : 0);
}

int64_t realtime_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

} // namespace

uint64_t start_ticks(int proc, pid_t pid) noexcept {
  char text[1024];
  compose(text, static_cast<uint32_t>(pid), "/stat");
  int fd = ::openat(proc, text, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  auto size = ::read(fd, text, sizeof(text) - 1);
  ::close(fd);
  if (size <= 0)
    return 0;
  text[size] = 0;
  const char* at = std::strrchr(text, ')'); // the name, field 2, may hold anything
  for (int field = 2; at != nullptr && field < 22; ++field)
    at = std::strchr(at + 1, ' ');
  if (at == nullptr)
    return 0;
  uint64_t ticks = 0;
  for (++at; *at >= '0' && *at <= '9'; ++at)
    ticks = ticks * 10 + static_cast<uint64_t>(*at - '0');
  return ticks;
}

dead_table::dead_table(io::arena memory, int proc, int news) noexcept
  : memory_(memory), proc_(proc), news_(news),
    position_(memory.header().dead_position.load(std::memory_order_relaxed)) {}

io::dead_entry* dead_table::free_entry() noexcept {
  auto table = memory_.dead();
  for (uint64_t i = 0; i < table.size(); ++i) {
    auto& x = table[(position_ + i) % table.size()];
    if (x.full.load(std::memory_order_seq_cst) == 0) {
      position_ += i + 1;
      return &x;
    }
  }
  return nullptr;
}

bool dead_table::bury(pid_t pid, int status, const rusage& used) noexcept {
  auto* x = free_entry();
  if (x == nullptr) {
    // Said first, then looked again: gantryd frees first and looks at the flag afterwards,
    // so one of the two sees the other.
    memory_.header().dead_overflow.store(1, std::memory_order_seq_cst);
    x = free_entry();
    if (x == nullptr)
      return false;
  }
  x->pid = pid;
  x->start_ticks = start_ticks(proc_, pid);
  x->status = status;
  x->max_rss_kib = static_cast<uint32_t>(used.ru_maxrss);
  x->realtime_ns = realtime_ns();
  x->full.store(1, std::memory_order_release);
  memory_.header().dead_position.store(position_, std::memory_order_release);
  return true;
}

void dead_table::tell() noexcept {
  const uint64_t one = 1;
  // Non-blocking: a counter that is full has woken the reader already.
  [[maybe_unused]] auto n = ::write(news_, &one, sizeof(one));
}

bool dead_table::reap(pid_t gantryd, int& status) noexcept {
  bool found = false;
  bool room = true;
  bool told = false;
  int untold = 0;
  while (room) {
    siginfo_t x{};
    rusage used{}; // glibc's waitid leaves it out.
    if (::syscall(SYS_waitid, P_ALL, 0, &x, WEXITED | WNOHANG | WNOWAIT, &used) != 0
        || x.si_pid == 0)
      break;
    if (x.si_pid == gantryd) {
      found = true;
      status = raw_status(x);
    } else if (!bury(x.si_pid, raw_status(x), used)) {
      room = false;
      break;
    } else if (!told) {
      told = true;
      tell(); // before the reap, which takes longer for the init of namespaces
    } else {
      ++untold;
    }
    siginfo_t gone{};
    ::waitid(P_PID, static_cast<id_t>(x.si_pid), &gone, WEXITED | WNOHANG);
    if (untold == wake_after) {
      untold = 0;
      tell();
    }
  }
  if (untold > 0 || !room)
    tell();
  siginfo_t x{};
  // Behind zombies that must wait, gantryd may be dead too.
  if (!room && !found && gantryd > 0
      && ::waitid(P_PID, static_cast<id_t>(gantryd), &x, WEXITED | WNOHANG) == 0
      && x.si_pid == gantryd) {
    found = true;
    status = raw_status(x);
  }
  return found;
}

} // namespace gantry::keeper
