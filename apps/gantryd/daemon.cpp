#include "daemon.hpp"

#include <algorithm>
#include <csignal>
#include <linux/magic.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "io/keeper_shelf.hpp"
#include "io/local_shelf.hpp"
#include "io/log.hpp"
#include "io/state_lock.hpp"
#include "notify.hpp"
#include "runtime/cgroup_driver.hpp"
#include "sockets.hpp"
#include "start_memory.hpp"

namespace gantry::daemon {

namespace {

constexpr io::shelf_key bus_listener{io::shelf_kind::listener, 1};
constexpr io::shelf_key fds_listener{io::shelf_kind::listener, 2};
constexpr auto bus_grace = std::chrono::seconds(2);
constexpr auto longest_turn = std::chrono::seconds(10);

/// All descriptors that we may have, we want: a container takes a few. Our children get what we
/// were started with.
uint32_t raise_fd_limit(io::linux_kernel& k) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  k.limit_children(limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return uint32_t(std::min<rlim_t>(limit.rlim_cur, 1u << 20));
}

/// A runtime that cannot be executed is told of now, not at the first container.
result<void> check_program(const std::string& path) {
  struct stat seen{};
  if (::stat(path.c_str(), &seen) != 0)
    return from_errno(errno, "look at the runtime", path);
  if (!S_ISREG(seen.st_mode))
    return error{ec::invalid_argument, "runtime \"" + path + "\": is not a file",
                 "name the program itself, such as /usr/sbin/runc"};
  if (::access(path.c_str(), X_OK) != 0)
    return error{ec::permission_denied, "runtime \"" + path + "\": is not executable",
                 "chmod +x " + path + ", or name another with --runtime"};
  return {};
}

} // namespace

daemon::daemon(daemon_options options, std::shared_ptr<io::log_sink> log)
  : options_(std::move(options)), log_(std::move(log)) {}

daemon::~daemon() = default;

result<void> daemon::take_state() {
  auto lock = io::lock_state(*kernel_, options_.supervisor.state_dir);
  if (!lock)
    return std::move(lock).why();
  lock_ = std::move(*lock);
  return {};
}

result<void> daemon::open_shelf(const io::launched& how) {
  if (how.what == io::launched::as::supervised) {
    auto shelf = io::keeper_shelf::open(*loop_, how.fds);
    if (!shelf)
      return std::move(shelf).why();
    (*shelf)->on_refused([](const io::shelf_key& key, const error& why) {
      io::log_error("the keeper refused shelf entry {}/{}: {}", key.kind, key.serial, why.text());
    });
    shelf_ = std::move(*shelf);
    supervised_ = true;
    return {};
  }
  auto shelf = io::local_shelf::make(*kernel_);
  if (!shelf)
    return std::move(shelf).why();
  shelf_ = std::move(*shelf);
  if (how.handed.fds.empty())
    return {};
  io::shelf_note note{};
  how.handed.marks.copy(note.data(), note.size());
  auto put = shelf_->put({io::shelf_handed, 0}, note, how.handed.fds);
  for (const int number : how.handed.fds) // The shelf has its own.
    kernel_->close(number);
  return put;
}

result<void> daemon::open_sockets() {
  auto groups = options_.roles.operate_groups;
  for (const auto g : options_.roles.read_groups)
    if (std::find(groups.begin(), groups.end(), g) == groups.end())
      groups.push_back(g);
  if (auto way = open_way(options_.supervisor.state_dir, groups); !way)
    return way;
  auto& shelved = host_->listeners();
  auto bus = io::listen_unix(*kernel_, *shelf_, shelved,
                             place_for(bus_listener, options_.socket, SOCK_STREAM, groups,
                                       bus_mark));
  if (!bus)
    return std::move(bus).why();
  auto fds = io::listen_unix(*kernel_, *shelf_, shelved,
                             place_for(fds_listener, options_.fds_socket, SOCK_SEQPACKET, groups,
                                       fds_mark));
  if (!fds)
    return std::move(fds).why();
  bus_listener_ = std::move(*bus);
  fds_listener_ = std::move(*fds);
  return {};
}

void daemon::serve() {
  bus::server_policy policy;
  policy.roles = options_.roles;
  bus_ = std::make_unique<bus::server>(*loop_, host_->door(), policy);
  bus_->listen(bus_listener_.get());
  bus::fd_server_policy fds_policy;
  fds_policy.roles = options_.roles;
  fds_ = std::make_unique<bus::fd_server>(*loop_, host_->door(), fds_policy);
  fds_->listen(fds_listener_.get());
  host_->shared().bus_socket = options_.socket;
  host_->shared().fds_socket = options_.fds_socket;
}

result<void> daemon::listen_to_signals() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (int s : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1})
    sigaddset(&wanted, s);
  ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = io::fd{*kernel_, ::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK)};
  if (!signal_fd_)
    return from_errno(errno, "make", "a signalfd");
  signals_ = std::make_unique<io::poll_op>(*loop_);
  signals_->start(signal_fd_.get(), POLLIN, [this](int32_t n) { on_signal(n); });
  return {};
}

void daemon::on_signal(int32_t ready) {
  if (ready < 0)
    return;
  signalfd_siginfo info{};
  while (::read(signal_fd_.get(), &info, sizeof(info)) == ssize_t(sizeof(info)))
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGQUIT)
      stop(int(info.ssi_signo));
  if (!at_rest_)
    signals_->start(signal_fd_.get(), POLLIN, [this](int32_t n) { on_signal(n); });
}

result<void> daemon::start(const io::launched& how) {
  auto kernel = io::linux_kernel::make();
  if (!kernel)
    return std::move(kernel).why();
  kernel_ = std::move(*kernel);
  loop_ = std::make_unique<io::loop>(*kernel_);
  log_->open(*loop_);
  if (auto taken = take_state(); !taken)
    return taken;
  if (auto opened = open_shelf(how); !opened)
    return opened;
  if (auto listening = listen_to_signals(); !listening)
    return listening;
  auto cgroups = runtime::detect_cgroups(*kernel_);
  if (!cgroups)
    return std::move(cgroups).why();
  cgroups_ = std::move(*cgroups);
  if (options_.supervisor.systemd_cgroups) {
    if (auto there = runtime::check_systemd(*kernel_, cgroups_); !there)
      return there;
    options_.supervisor.own_unit = runtime::own_unit(*kernel_);
  }
  options_.supervisor.fd_limit = raise_fd_limit(*kernel_);
  auto runtime = runtime::find_runtime(*kernel_, options_.supervisor.runtime,
                                       cgroups_.mode == runtime::cgroup_mode::v2);
  if (!runtime)
    return std::move(runtime).why();
  if (auto usable = check_program(*runtime); !usable)
    return usable;
  options_.supervisor.runtime = *runtime;
  struct statfs on {};
  options_.supervisor.state_on_tmpfs =
    ::statfs(options_.supervisor.state_dir.c_str(), &on) == 0 && on.f_type == TMPFS_MAGIC;
  auto host = actors::supervisor_host::make(*loop_, *shelf_, cgroups_, options_.supervisor,
                                            options_.engine);
  if (!host)
    return std::move(host).why();
  host_ = std::move(*host);
  host_->shared().own_log_dropped = [log = log_] { return log->dropped(); };
  if (auto opened = open_sockets(); !opened)
    return opened;
  serve();
  metrics_ = std::make_unique<metrics_door>(*loop_, *host_, options_.metrics);
  if (auto opened = metrics_->open(*shelf_, host_->listeners()); !opened)
    return opened;
  host_->listeners().clear(); // What nobody wants any more.
  watchdog_ = std::make_unique<io::watchdog>(longest_turn);
  loop_->set_watchdog(watchdog_.get());
  shelf_->ready();
  shelf_->on_lost([] { notify("STATUS=The keeper is gone: restart gantryd soon"); });
  notify("READY=1\nSTATUS=Serving " + options_.socket);
  settled_ = std::make_unique<io::timer>(*loop_);
  settled_->start(std::chrono::seconds(1), [] { give_back_start_memory(); });
  if (watchdog_interval().count() > 0) {
    alive_ = std::make_unique<io::timer>(*loop_);
    say_alive();
  }
  return {};
}

void daemon::say_alive() {
  notify("WATCHDOG=1");
  alive_->start(watchdog_interval(), [this] { say_alive(); });
}

void daemon::stop(int sig) {
  if (std::exchange(stopping_, true))
    return;
  stops_ = options_.stop_containers || !supervised_ || sig == SIGQUIT;
  io::log_info("signal {}: going away, containers are {}", sig,
               stops_ ? "stopped" : "left running");
  notify(stops_ ? "STOPPING=1\nSTATUS=Stopping the containers"
                : "STOPPING=1\nSTATUS=Going away, the containers stay");
  const auto cause = "signal " + std::to_string(sig);
  if (stops_) // The bus goes last: whoever follows the events sees the exits.
    host_->shutdown(true, cause, [this] { stop_serving([this] { rest(); }); });
  else {
    host_->going_away();
    stop_serving([this, cause] { host_->shutdown(false, cause, [this] { rest(); }); });
  }
}

void daemon::stop_serving(std::function<void()> f) {
  bus_->stop(bus_grace, [this, f = std::move(f)] { fds_->stop(f); });
}

void daemon::rest() {
  at_rest_ = true;
  if (stops_)
    shelf_->farewell();
  else
    shelf_->farewell_for_now();
  signals_->cancel();
  metrics_->stop([this] { loop_->stop(); });
}

int daemon::run() {
  loop_->run();
  io::end_actors(host_->system(), *loop_, std::chrono::seconds(5));
  bus_.reset();
  metrics_.reset();
  fds_.reset();
  host_.reset();
  shelf_.reset();
  const bool at_rest = loop_->drain(std::chrono::seconds(2));
  if (!at_rest)
    io::log_warn("some kernel requests did not come to rest");
  log_->close(std::chrono::milliseconds(200));
  loop_->set_watchdog(nullptr);
  if (!at_rest)
    _exit(0); // A file system hangs: what the kernel holds for it must stay whole to the end.
  return 0;
}

} // namespace gantry::daemon
