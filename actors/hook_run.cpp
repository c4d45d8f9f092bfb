#include "actors/hook_run.hpp"

#include <csignal>
#include <fcntl.h>
#include <memory>
#include <poll.h>

#include "io/log.hpp"
#include "io/poll.hpp"
#include "messages/result.hpp"

namespace gantry::actors {

namespace {

constexpr auto hook_time = std::chrono::seconds(30);

/// Keeps itself until its program has ended.
struct running_hook : std::enable_shared_from_this<running_hook> {
  running_hook(io::loop& l, std::string who) : loop(l), about(std::move(who)), ended(l), limit(l) {}

  void watch(int fd) {
    pidfd = io::fd{loop.sys(), fd};
    ended.start(fd, POLLIN, [self = shared_from_this()](int32_t) { self->on_end(); });
    limit.start(hook_time, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->pidfd)
        self->loop.sys().pidfd_signal(self->pidfd.get(), SIGKILL);
    });
  }

  void on_end() {
    limit.cancel();
    io::exit_status how;
    if (loop.sys().reap(pidfd.get(), how) == 0 && (how.signal != 0 || how.code != 0))
      io::log_warn("{} failed: exit {}, signal {}", about, how.code, how.signal);
    pidfd.reset();
  }

  io::loop& loop;
  std::string about;
  io::fd pidfd;
  io::poll_op ended;
  io::timer limit;
};

} // namespace

void run_hook(io::loop& l, const std::string& program, std::vector<std::string> env,
              std::string about) {
  auto& sys = l.sys();
  const io::fd null{sys, sys.open("/dev/null", O_RDWR)};
  io::spawn_request what;
  what.path = program;
  what.argv = {program};
  what.env = std::move(env);
  what.env.emplace_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  what.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}};
  io::child made;
  const int err = null ? sys.spawn(what, made) : -ENFILE;
  if (err < 0) {
    io::log_warn("{}: {}", about, from_errno(-err, "start", program).text());
    return;
  }
  std::make_shared<running_hook>(l, std::move(about))->watch(made.pidfd);
}

} // namespace gantry::actors
