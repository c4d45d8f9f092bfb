#include "actors/log_packer.hpp"

#include <algorithm>
#include <csignal>
#include <deque>
#include <fcntl.h>
#include <poll.h>

#include "io/log.hpp"
#include "io/log_files.hpp"
#include "io/poll.hpp"
#include "messages/result.hpp"

namespace gantry::actors {

struct log_packer::impl : std::enable_shared_from_this<log_packer::impl> {
  impl(io::loop& l, std::vector<std::string> p) : loop(l), program(std::move(p)), ended(l) {}

  void next();
  bool start(const std::string& path);
  void on_end();

  io::loop& loop;
  std::vector<std::string> program;
  std::deque<std::string> queue;
  std::string current; ///< Being packed; empty: none.
  io::fd pidfd;
  io::poll_op ended;
  bool going = false; ///< The owner has gone: nothing more is begun.
};

void log_packer::impl::next() {
  while (current.empty() && !queue.empty() && !going) {
    auto path = std::move(queue.front());
    queue.pop_front();
    if (start(path))
      current = std::move(path);
  }
}

bool log_packer::impl::start(const std::string& path) {
  auto& sys = loop.sys();
  const io::fd null{sys, sys.open("/dev/null", O_RDWR)};
  if (!null)
    return false;
  io::spawn_request what;
  what.path = program.front();
  what.argv = program;
  what.argv.push_back(path);
  what.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}};
  io::child made;
  if (const int err = sys.spawn(what, made); err < 0) {
    io::log_warn("log file {} stays as it is: {}", path,
                 from_errno(-err, "start", program.front()).text());
    return false;
  }
  pidfd = io::fd{sys, made.pidfd};
  ended.start(made.pidfd, POLLIN, [self = shared_from_this()](int32_t) { self->on_end(); });
  return true;
}

void log_packer::impl::on_end() {
  io::exit_status how;
  const int err = loop.sys().reap(pidfd.get(), how);
  if (err == 0 && (how.signal != 0 || how.code != 0))
    io::log_warn("log file {} could not be packed and stays as it is: exit {}, signal {}", current,
                 how.code, how.signal);
  pidfd.reset();
  current.clear();
  next();
}

log_packer::log_packer(io::loop& l, std::vector<std::string> program)
  : impl_(std::make_shared<impl>(l, std::move(program))) {}

log_packer::~log_packer() {
  if (impl_)
    impl_->going = true;
}

log_packer::log_packer(log_packer&&) noexcept = default;
log_packer& log_packer::operator=(log_packer&&) noexcept = default;

void log_packer::forget(const std::string& dir) {
  const auto within = [&dir](const std::string& path) {
    return path.size() > dir.size() && path.starts_with(dir) && path[dir.size()] == '/';
  };
  std::erase_if(impl_->queue, within);
  if (within(impl_->current))
    impl_->loop.sys().pidfd_signal(impl_->pidfd.get(), SIGKILL);
}

void log_packer::pack(const std::string& dir, uint64_t current) {
  if (impl_->program.empty())
    return;
  std::vector<std::string> names;
  if (impl_->loop.sys().list(dir, names) < 0)
    return;
  for (const auto& name : names) {
    const auto seq = io::log_file_seq(name);
    auto path = io::log_file_path(dir, seq);
    const bool known = path == impl_->current ||
                       std::find(impl_->queue.begin(), impl_->queue.end(), path)
                         != impl_->queue.end();
    if (seq != 0 && seq < current && !name.ends_with(".zst") && !known)
      impl_->queue.push_back(std::move(path));
  }
  impl_->next();
}

} // namespace gantry::actors
