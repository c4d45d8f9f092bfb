// The direct calls on descriptors and processes.

#include <csignal>
#include <cstring>
#include <sys/wait.h>

#include "messages/check.hpp"
#include "tests/sim/sim_kernel.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

int incarnation::close(int fd) {
  if (!step()) {
    if (get(fd))
      fds_[size_t(fd)].reset();
    return -ECANCELED;
  }
  GANTRY_CHECK(get(fd) != nullptr); // Closed twice.
  fds_[size_t(fd)].reset();
  return 0;
}

int incarnation::pipe(int (&out)[2], int /*ours*/) {
  if (!step())
    return -ECANCELED;
  if (fault(host_.options.faults.emfile))
    return -EMFILE;
  auto p = std::make_shared<sim::pipe>();
  p->keep_history = true;
  out[0] = install(std::make_shared<pipe_end>(p, false));
  if (out[0] < 0)
    return out[0];
  out[1] = install(std::make_shared<pipe_end>(p, true));
  if (out[1] < 0) {
    fds_[size_t(out[0])].reset();
    return out[1];
  }
  return 0;
}

int incarnation::set_pipe_size(int fd, int bytes) {
  if (!step())
    return -ECANCELED;
  auto end = typed<pipe_end>(fd);
  return end ? end->the_pipe()->resize(bytes) : -EBADF;
}

int incarnation::readable(int fd) {
  if (!step())
    return -ECANCELED;
  auto d = get(fd);
  return d ? d->readable() : -EBADF;
}

ssize_t incarnation::read(int fd, std::span<char> into) {
  const bool alive = step();
  auto d = get(fd);
  if (!alive) // What is still there then is a pipe all our own: see close_all.
    return d ? d->read(into) : -ECANCELED;
  if (!d)
    return -EBADF;
  const ssize_t n = d->read(into);
  if (n > 100 && host_.options.canary == broken::a_byte && typed<pipe_end>(fd)) {
    std::memmove(into.data() + 50, into.data() + 51, size_t(n) - 51);
    into[size_t(n) - 1] = '\n';
  }
  return n;
}

ssize_t incarnation::write(int fd, std::span<const char> from) {
  if (!step())
    return -ECANCELED;
  auto d = get(fd);
  return d ? d->write(from) : -EBADF;
}

ssize_t incarnation::tee(int from, int to, size_t bytes) {
  if (!step())
    return -ECANCELED;
  auto a = typed<pipe_end>(from);
  auto b = typed<pipe_end>(to);
  if (!a || !b || a->writes() || !b->writes())
    return !get(from) || !get(to) ? -EBADF : -EINVAL;
  return a->the_pipe()->tee(*b->the_pipe(), bytes);
}

ssize_t incarnation::splice(int from, int to, size_t bytes) {
  if (!step())
    return -ECANCELED;
  auto a = typed<pipe_end>(from);
  auto b = typed<pipe_end>(to);
  if (!a || !b || a->writes() || !b->writes())
    return !get(from) || !get(to) ? -EBADF : -EINVAL;
  return a->the_pipe()->splice(*b->the_pipe(), bytes);
}

int incarnation::eventfd() {
  if (!step())
    return -ECANCELED;
  if (fault(host_.options.faults.emfile))
    return -EMFILE;
  return install(std::make_shared<event_counter>());
}

int incarnation::spawn(const io::spawn_request& what, io::child& out) {
  if (!step())
    return -ECANCELED;
  if (fault(host_.options.faults.spawn_again))
    return -EAGAIN;
  if (fault(host_.options.faults.emfile))
    return -EMFILE;
  std::map<int, description_ptr> theirs;
  for (const auto& [mine, child] : what.fds) {
    auto d = get(mine);
    if (!d)
      return -EBADF;
    theirs[child] = std::move(d);
  }
  auto p = host_.fork(self_);
  const int fd = install(std::make_shared<pid_handle>(p));
  if (fd < 0) { // As CLONE_PIDFD: no descriptor, no child.
    p->parent = host_.keeper_process();
    p->exit(127);
    return fd;
  }
  p->argv = what.argv;
  p->env = what.env;
  p->fds = std::move(theirs);
  for (int i = 0; i < 3; ++i)
    if (auto it = p->fds.find(i); it != p->fds.end())
      if (auto end = std::dynamic_pointer_cast<pipe_end>(it->second))
        p->streams[size_t(i)] = end->the_pipe();
  auto& m = host_;
  p->after(m.rng.between(100us, 600us), [&m, raw = p.get(), path = what.path] {
    m.exec(*raw, path);
  });
  out = {p->pid, fd};
  return 0;
}

int incarnation::reap(int pidfd, io::exit_status& out) {
  if (!step())
    return -ECANCELED;
  auto h = typed<pid_handle>(pidfd);
  if (!h)
    return -EBADF;
  auto& p = *h->who();
  if (p.at == process::phase::reaped || p.parent.lock() != self_)
    return -ECHILD;
  if (p.at != process::phase::zombie)
    return -EAGAIN;
  out = io::exit_status::from_wait(p.wait_status);
  host_.reap(p);
  return 0;
}

int incarnation::pidfd_open(pid_t pid) {
  if (!step())
    return -ECANCELED;
  if (fault(host_.options.faults.emfile) || fault(host_.options.faults.no_pidfd))
    return -EMFILE;
  auto p = host_.find(pid);
  return p ? install(std::make_shared<pid_handle>(p)) : -ESRCH;
}

int incarnation::pidfd_signal(int pidfd, int sig) {
  if (!step())
    return -ECANCELED;
  auto h = typed<pid_handle>(pidfd);
  if (!h)
    return -EBADF;
  if (sig < 0 || sig > SIGRTMAX)
    return -EINVAL;
  if (h->who()->at == process::phase::reaped)
    return -ESRCH;
  if (sig != 0)
    host_.signal(*h->who(), sig);
  return 0;
}

int incarnation::pidfd_status(int pidfd, io::exit_status& out) {
  if (!step())
    return -ECANCELED;
  auto h = typed<pid_handle>(pidfd);
  if (!h)
    return -EBADF;
  if (!host_.options.pidfd_status)
    return -ENOTTY;
  if (h->who()->at != process::phase::reaped)
    return -EAGAIN;
  out = io::exit_status::from_wait(h->who()->wait_status);
  return 0;
}

int64_t incarnation::start_ticks(pid_t pid) {
  if (!step())
    return -ECANCELED;
  auto p = host_.find(pid);
  return p ? int64_t(p->start_ticks) : -ESRCH;
}

} // namespace gantry::sim
