#include "apps/keeper/keeper.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gantry::keeper {

namespace {

constexpr int64_t long_life_ms = 10'000;
constexpr int ending_signals[] = {SIGTERM, SIGINT, SIGQUIT};

int64_t now_ms() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

bool ends(int sig) noexcept {
  for (int x : ending_signals)
    if (x == sig)
      return true;
  return false;
}

bool fail(const char* what) noexcept {
  say({"cannot make ", what, ": ", ::strerrordesc_np(errno)});
  return false;
}

} // namespace

bool keeper::open_arena() noexcept {
  constexpr io::arena_shape shape;
  const auto size = io::arena::size_for(shape);
  constexpr unsigned no_exec = 0x0008; // MFD_NOEXEC_SEAL, kernel 6.3
  with_.arena = ::memfd_create("gantry-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING | no_exec);
  if (with_.arena < 0)
    with_.arena = ::memfd_create("gantry-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (with_.arena < 0 || ::ftruncate(with_.arena, static_cast<off_t>(size)) != 0)
    return fail("the arena");
  // Nobody can take the memory from under us (SIGBUS).
  ::fcntl(with_.arena, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  auto* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, with_.arena, 0);
  if (at == MAP_FAILED)
    return fail("the arena's mapping");
  char boot_id[40] = {};
  const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ::read(fd, boot_id, 36) != 36) // a UUID
    return fail("sense of /proc");
  ::close(fd);
  arena_ = io::arena::make({static_cast<std::byte*>(at), size}, shape, boot_id);
  arena_.header().keeper_pid.store(::getpid());
  return true;
}

/// What this process was started with besides 0, 1 and 2.
bool keeper::shelve_first() noexcept {
  if (how_.shelved_note == nullptr)
    return true;
  int fds[wire::max_fds];
  size_t count = 0;
  char note[sizeof(wire::message::note)] = {};
  for (; how_.shelved_note[count] != 0; ++count) {
    fds[count] = STDERR_FILENO + 1 + static_cast<int>(count);
    note[count] = how_.shelved_note[count];
    if (::fcntl(fds[count], F_SETFD, FD_CLOEXEC) != 0)
      return fail("sense of --shelve");
  }
  return shelf_.put(how_.shelved_kind, 0, note, {fds, count});
}

bool keeper::open(const options& how) noexcept {
  how_ = how;
  if (!shelve_first())
    return false;
  ::getrlimit(RLIMIT_NOFILE, &with_.files);
  const rlimit all{with_.files.rlim_max, with_.files.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &all);
  sigset_t set;
  sigemptyset(&set);
  for (int sig : {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2})
    sigaddset(&set, sig);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN); // stderr may be a pipe that nobody reads any more
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  with_.news = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int proc = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (signals_ < 0 || with_.news < 0 || proc < 0)
    return fail("a descriptor");
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
    return fail("a sub-reaper of this process");
  if (!open_arena() || (how_.control != nullptr && !open_control()))
    return false;
  dead_.emplace(arena_, proc, with_.news);
  return true;
}

int keeper::run(program& first) noexcept {
  if (first.path != nullptr) {
    program_ = &first;
    start();
  }
  while (!over_)
    serve();
  if (listener_ >= 0)
    ::unlink(how_.control);
  return exit_code_;
}

void keeper::start() noexcept {
  start_at_ms_ = 0;
  started_ms_ = now_ms();
  ready_ = farewell_ = stay_ = listing_ = false;
  told_to_end_ = 0;
  told_to_abort_ = false;
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
    arena_.header().generation.fetch_add(1);
    with_.socket = pair[1];
    socket_ = pair[0];
    pid_ = start_program(*program_, with_);
    ::close(pair[1]);
  }
  if (pid_ < 0) {
    say({"cannot start ", program_->path, ": ", ::strerrordesc_np(errno)});
    if (socket_ >= 0)
      ::close(socket_);
    socket_ = -1;
    start_at_ms_ = now_ms() + 1 + pause_ms(++short_lives_ + 1, how_.back_off_ms);
    return;
  }
  pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  tell_launcher(wire::word::started, pid_);
}

void keeper::serve() noexcept {
  // Who comes while a gantryd is on its way out waits for its end: it is the next one.
  const bool leaving = pid_ > 0 && farewell_ && stay_ && !asked_;
  pollfd p[] = {{signals_, POLLIN, 0},
                {socket_, static_cast<short>(listing_ ? POLLOUT : POLLIN), 0},
                {listener_, POLLIN, 0},
                {leaving ? -1 : launcher_, POLLIN, 0}};
  int wait = -1;
  if (start_at_ms_ > 0) {
    const auto left = start_at_ms_ - now_ms();
    wait = left > 0 ? static_cast<int>(left) : 0;
  }
  if (::poll(p, 4, wait) < 0)
    return;
  if (p[0].revents != 0)
    take_signals();
  if (p[1].revents != 0) {
    if (listing_)
      list_on();
    else
      take_messages();
  }
  if (p[2].revents != 0)
    take_launcher();
  if (p[3].revents != 0)
    take_request();
  if (start_at_ms_ > 0 && now_ms() >= start_at_ms_)
    start();
}

void keeper::take_signals() noexcept {
  signalfd_siginfo x[8];
  const auto size = ::read(signals_, x, sizeof(x));
  const auto count = size > 0 ? static_cast<size_t>(size) / sizeof(x[0]) : 0;
  for (size_t i = 0; i < count; ++i)
    if (x[i].ssi_signo == SIGCHLD)
      reap();
  for (size_t i = 0; i < count; ++i) {
    // What the terminal sent, gantryd has got too, being in the same group.
    const bool has_it
      = x[i].ssi_code == SI_KERNEL && pid_ > 0 && ::getpgid(pid_) == ::getpgid(0);
    if (x[i].ssi_signo != SIGCHLD && !has_it)
      forward(static_cast<int>(x[i].ssi_signo));
    else if (has_it && ends(static_cast<int>(x[i].ssi_signo)))
      told_to_end_ = static_cast<int>(x[i].ssi_signo);
  }
}

void keeper::forward(int sig) noexcept {
  if (ends(sig))
    told_to_end_ = sig;
  told_to_abort_ = told_to_abort_ || sig == SIGABRT;
  if (pid_ > 0) {
    ::syscall(SYS_pidfd_send_signal, pidfd_, sig, nullptr, 0);
    if (sig == SIGABRT) // Whoever hangs may be stopped, too.
      ::syscall(SYS_pidfd_send_signal, pidfd_, SIGCONT, nullptr, 0);
  } else if (ends(sig)) {
    over_ = true;
    exit_code_ = 128 + sig;
  }
}

/// A launcher's signal. Before gantryd serves, one that ends would kill it in the middle of its
/// start, or meet nobody: it waits.
void keeper::pass_on(int sig) noexcept {
  if (ends(sig) && !(pid_ > 0 && ready_))
    owed_ = sig;
  else if (pid_ > 0)
    forward(sig);
}

void keeper::reap() noexcept {
  int status = 0;
  if (dead_->reap(pid_, status))
    ended(status);
}

void keeper::ended(int status) noexcept {
  pid_ = -1;
  listing_ = false;
  while (socket_ >= 0)
    take_messages(); // until it closes the socket: what the dead one said still counts
  ::close(pidfd_);
  arena_.header().last_status.store(status);
  const auto now = now_ms();
  short_lives_ = now - started_ms_ < long_life_ms ? short_lives_ + 1 : 1;
  switch (decide(status)) {
  case next::start:
    if (const auto pause = pause_ms(short_lives_, how_.back_off_ms); pause > 0)
      start_at_ms_ = now + pause;
    else
      start();
    return;
  case next::end:
    over_ = true;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    [[fallthrough]];
  case next::wait:
    if (!asked_) // What it wants, it wants of the next one.
      return;
    tell_launcher(wire::word::ended, status);
    ::close(launcher_);
    launcher_ = -1;
  }
}

keeper::next keeper::decide(int status) const noexcept {
  const auto can_wait = listener_ >= 0 ? next::wait : next::end;
  if (farewell_)
    return stay_ ? can_wait : next::end;
  if (WIFSIGNALED(status) && WTERMSIG(status) == told_to_end_)
    return next::end;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && told_to_abort_)
    return can_wait;
  if (WIFEXITED(status)) {
    const int code = WEXITSTATUS(status);
    // Whoever asked for it is told, and nobody is served by another try. But what an earlier
    // gantryd left here is held for one that is started properly.
    const bool refuses = !ready_ && code >= 64 && code <= 78;
    if ((refuses && !served_) || (!ready_ && code == 0))
      return ever_ready_ ? can_wait : next::end;
    // One that served here before will again when what it lacks is there: memory, say.
    if (code == 0 || ((code == 126 || code == 127) && !ever_ready_))
      return next::end;
  }
  if (how_.max_restarts > 0 && short_lives_ > how_.max_restarts) {
    say({"gives up: ", program_->path, " ended too often"});
    return next::end;
  }
  return next::start;
}

} // namespace gantry::keeper
