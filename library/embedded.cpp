#include "library/embedded.hpp"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/keeper_shelf.hpp"
#include "io/listener.hpp"
#include "io/local_shelf.hpp"
#include "io/log.hpp"
#include "io/state_lock.hpp"
#include "library/local_link.hpp"
#include "runtime/cgroup_driver.hpp"

namespace gantry::library {

namespace {

constexpr io::shelf_key bus_listener{io::shelf_kind::listener, 1};
constexpr io::shelf_key fds_listener{io::shelf_kind::listener, 2};
constexpr auto bus_grace = std::chrono::seconds(2);
constexpr auto last_events = std::chrono::seconds(1);
constexpr auto drain_time = std::chrono::seconds(2);

/// Our own log, into the program's hands.
class log_door final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
public:
  explicit log_door(std::function<void(log_level, std::string_view)> f) : f_(std::move(f)) {}

private:
  void sink_it_(const spdlog::details::log_msg& m) override {
    const auto level = m.level <= spdlog::level::debug  ? log_level::debug
                       : m.level == spdlog::level::info ? log_level::info
                       : m.level == spdlog::level::warn ? log_level::warn
                                                        : log_level::error;
    call_out(f_, level, std::string_view{m.payload.data(), m.payload.size()});
  }
  void flush_() override {}

  std::function<void(log_level, std::string_view)> f_;
};

std::shared_ptr<spdlog::logger> logger_of(const start_options& o) {
  if (!o.log)
    return nullptr;
  auto out = std::make_shared<spdlog::logger>("", std::make_shared<log_door>(o.log));
  constexpr spdlog::level::level_enum levels[] = {spdlog::level::debug, spdlog::level::info,
                                                  spdlog::level::warn, spdlog::level::err};
  out->set_level(levels[size_t(o.least_level)]);
  return out;
}

/// Below what its containers' cgroups are.
std::string home_of(const start_options& o) {
  const bool untold = o.cgroup_parent == start_options{}.cgroup_parent;
  return o.cgroup_driver == "systemd" && untold ? "gantry.slice" : o.cgroup_parent;
}

result<void> check(const start_options& o) {
  for (const auto& [name, path] : {std::pair{"state_dir", o.state_dir},
                                   std::pair{"root_dir", o.root_dir}})
    if (path.empty() || path.front() != '/')
      return error{ec::invalid_argument,
                   std::string{name} + " \"" + path + "\" must be an absolute path",
                   "give this supervisor directories of its own"};
  if (!o.socket.empty() && o.socket.front() != '/')
    return error{ec::invalid_argument, "socket \"" + o.socket + "\" must be an absolute path", ""};
  if (o.cgroup_driver != "cgroupfs" && o.cgroup_driver != "systemd")
    return error{ec::invalid_argument, "cgroup_driver \"" + o.cgroup_driver + "\" is unknown",
                 "use cgroupfs or systemd"};
  if (o.cgroup_driver == "systemd") {
    if (auto fine = runtime::check_home_slice("cgroup_parent", home_of(o)); !fine)
      return fine;
  } else if (o.cgroup_parent.empty() || o.cgroup_parent.front() == '/'
             || o.cgroup_parent.find("..") != std::string::npos) {
    return error{ec::invalid_argument,
                 "cgroup_parent \"" + o.cgroup_parent + "\" must be a relative path", ""};
  }
  if (::geteuid() != 0)
    return error{ec::permission_denied, "a supervisor needs root", "run this program as root"};
  return {};
}

v1::By myself() {
  v1::By out;
  out.set_uid(::getuid());
  out.set_gid(::getgid());
  out.set_pid(::getpid());
  return out;
}

} // namespace

result<void> embedded::start() {
  if (auto fine = check(options_); !fine)
    return fine;
  return launch([this] { main(); });
}

void embedded::main() {
  io::log_to(logger_of(options_));
  auto made = make();
  const bool serves = made.ok();
  if (serves)
    serving({});
  if (serves)
    loop_->run();
  release();
  io::log_to(nullptr);
  if (!serves)
    serving(std::move(made).why()); // The last of it: nothing is held any more.
}

result<void> embedded::make() {
  auto kernel = io::linux_kernel::make();
  if (!kernel)
    return std::move(kernel).why();
  kernel_ = std::move(*kernel);
  loop_ = std::make_unique<io::loop>(*kernel_);
  auto lock = io::lock_state(*kernel_, options_.state_dir);
  if (!lock)
    return std::move(lock).why();
  lock_ = std::move(*lock);
  if (auto opened = open_shelf(); !opened)
    return opened;
  // What may fail comes before the host: once made, it must be ended in order.
  if (!options_.socket.empty())
    if (auto way = open_sockets(); !way)
      return way;
  if (auto made = make_host(); !made)
    return made;
  auto reactor = std::make_unique<loop_reactor>(*loop_);
  reactor_ = reactor.get();
  site = std::make_shared<library::site>(std::move(reactor));
  site->connect(std::make_unique<local_link>(host_->door(), myself()));
  if (listener_) {
    bus_ = std::make_unique<bus::server>(*loop_, host_->door());
    bus_->listen(listener_.get());
    fds_ = std::make_unique<bus::fd_server>(*loop_, host_->door());
    fds_->listen(fds_listener_.get());
    host_->shared().bus_socket = options_.socket;
    host_->shared().fds_socket = bus::fds_socket_beside(options_.socket);
  }
  if (options_.longest_turn.count() > 0) {
    watchdog_ = std::make_unique<io::watchdog>(
      std::chrono::ceil<std::chrono::milliseconds>(options_.longest_turn));
    loop_->set_watchdog(watchdog_.get());
  }
  shelf_->ready();
  return {};
}

result<void> embedded::open_sockets() {
  auto shelved = shelf_->list();
  if (!shelved)
    return std::move(shelved).why();
  auto listener = io::listen_unix(*kernel_, *shelf_, *shelved,
                                  {.key = bus_listener, .path = options_.socket});
  if (!listener)
    return std::move(listener).why();
  auto fds = io::listen_unix(*kernel_, *shelf_, *shelved,
                             {.key = fds_listener,
                              .path = bus::fds_socket_beside(options_.socket),
                              .type = SOCK_SEQPACKET});
  if (!fds)
    return std::move(fds).why();
  listener_ = std::move(*listener);
  fds_listener_ = std::move(*fds);
  return {};
}

result<void> embedded::open_shelf() {
  result<std::optional<io::keeper_fds>> taken{std::nullopt};
  if (options_.keeper)
    taken = io::take_keeper();
  if (!taken)
    return std::move(taken).why();
  if (*taken) {
    auto shelf = io::keeper_shelf::open(*loop_, **taken);
    if (!shelf)
      return std::move(shelf).why();
    (*shelf)->on_refused([](const io::shelf_key& key, const error& why) {
      io::log_error("the keeper refused shelf entry {}/{}: {}", key.kind, key.serial, why.text());
    });
    shelf_ = std::move(*shelf);
    supervised_ = true;
    return {};
  }
  if (auto mine = reaper_.take(); !mine)
    return mine;
  auto shelf = io::local_shelf::make(*kernel_, {}, false);
  if (!shelf)
    return std::move(shelf).why();
  shelf_ = std::move(*shelf);
  io::log_info("no keeper: containers are not taken over if this process dies");
  return {};
}

result<void> embedded::make_host() {
  auto cgroups = runtime::detect_cgroups(*kernel_);
  if (!cgroups)
    return std::move(cgroups).why();
  cgroups_ = std::move(*cgroups);
  auto runtime = runtime::find_runtime(*kernel_, options_.runtime,
                                       cgroups_.mode == runtime::cgroup_mode::v2);
  if (!runtime)
    return std::move(runtime).why();
  actors::supervisor_options o;
  o.systemd_cgroups = options_.cgroup_driver == "systemd";
  if (o.systemd_cgroups) {
    if (auto there = runtime::check_systemd(*kernel_, cgroups_, {}, "cgroup_driver"); !there)
      return there;
    o.own_unit = runtime::own_unit(*kernel_);
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  o.state_dir = options_.state_dir;
  o.root_dir = options_.root_dir;
  o.runtime = *runtime;
  o.cgroup_parent = home_of(options_);
  o.version = GANTRY_VERSION;
  o.fd_limit = uint32_t(std::min<rlim_t>(files.rlim_cur, 1u << 20));
  auto host = actors::supervisor_host::make(*loop_, *shelf_, cgroups_, std::move(o));
  if (!host)
    return std::move(host).why();
  host_ = std::move(*host);
  return {};
}

void embedded::begin_end(std::optional<bool> stop_containers) {
  if (std::exchange(ending_, true))
    return;
  stops_ = !supervised_ || stop_containers.value_or(options_.stop_containers);
  host_->shutdown(stops_, "the program around it ends it", [this] {
    patience_ = std::make_unique<io::timer>(*loop_);
    hand_on_until_ = loop_->now() + last_events;
    settle(4);
  });
}

/// Whoever follows the events sees the exits: a few turns until all feeds have been told,
/// then until all has been handed on.
void embedded::settle(int rounds) {
  if (rounds > 0)
    return loop_->post([this, rounds] { settle(rounds - 1); });
  if (site->idle() || loop_->now() >= hand_on_until_)
    return part();
  patience_->start(std::chrono::milliseconds(5), [this] { settle(0); });
}

void embedded::part() {
  if (bus_)
    bus_->stop(bus_grace, [this] { fds_->stop([this] { loop_->stop(); }); });
  else
    loop_->stop();
}

void embedded::release() {
  if (site) {
    site->end({ec::cancelled, "the supervisor is being stopped", ""});
    if (stops_)
      shelf_->farewell();
    else
      shelf_->farewell_for_now();
    reactor_->shut();
    io::end_actors(host_->system(), *loop_, std::chrono::seconds(5));
  }
  patience_.reset();
  bus_.reset();
  fds_.reset();
  host_.reset();
  shelf_.reset();
  if (listener_ && !supervised_) { // Nobody keeps them: a client is told so at once.
    ::unlink(options_.socket.c_str());
    ::unlink(bus::fds_socket_beside(options_.socket).c_str());
  }
  listener_.reset();
  fds_listener_.reset();
  const bool at_rest = !loop_ || loop_->drain(drain_time);
  if (!at_rest)
    io::log_warn("some kernel requests did not come to rest");
  if (loop_) {
    while (loop_->turn(false)) { // What was posted for the end: descriptors to close.
    }
    loop_->set_watchdog(nullptr);
  }
  watchdog_.reset();
  if (!at_rest) { // A file system hangs: what the kernel holds for it stays, with all it needs.
    (void)loop_.release();
    (void)kernel_.release();
  }
  loop_.reset();
  lock_.reset();
  kernel_.reset();
}

result<std::unique_ptr<supervisor::impl>> make_embedded(start_options how) {
  auto out = std::make_unique<embedded>(std::move(how));
  if (auto started = out->start(); !started)
    return std::move(started).why();
  return std::unique_ptr<supervisor::impl>{std::move(out)};
}

} // namespace gantry::library
