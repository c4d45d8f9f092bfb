#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <poll.h>

#include "io/held_poll.hpp"
#include "runtime/cgroup_files.hpp"
#include "runtime/pressure.hpp"

namespace gantry::runtime {

namespace {

using resource = pressure_trigger::resource;

constexpr io::nanoseconds high_pause = std::chrono::seconds(1);

/// `some avg10=1.50 avg60=… total=1234` of the two lines of a .pressure file.
pressure_sample sample_of(std::string_view text, bool full) {
  pressure_sample out;
  const size_t at = text.find(full ? "full " : "some ");
  if (at == std::string_view::npos)
    return out;
  const auto line = text.substr(at, text.find('\n', at) - at);
  const auto number = [line](std::string_view key, auto& into) {
    if (const size_t from = line.find(key); from != std::string_view::npos)
      std::from_chars(line.data() + from + key.size(), line.data() + line.size(), into);
  };
  number("avg10=", out.avg10);
  number("total=", out.total_us);
  return out;
}

error no_pressure(int err, const std::string& file) {
  if (err == ENOENT || err == EOPNOTSUPP)
    return {ec::unsupported, "this kernel tells no pressure of a cgroup: " + file,
            "boot it with psi=1"};
  return from_errno(err, "open", file);
}

} // namespace

struct pressure_watch::impl {
  impl(io::loop& l, const cgroup_host& h) : loop(l), host(h), pause(l) {}

  result<void> open_psi(const std::string& path) {
    if (host.unified.empty())
      return error{ec::unsupported, "this host has no cgroup v2 hierarchy, so no PSI of cgroups",
                   "boot it with systemd.unified_cgroup_hierarchy=1"};
    const char* name = what.what == resource::cpu ? "cpu" : what.what == resource::io ? "io"
                                                                                      : "memory";
    const std::string file = host.unified + path + "/" + name + ".pressure";
    auto& k = loop.sys();
    const int rc = k.open(file, O_RDWR | O_NONBLOCK);
    if (rc < 0)
      return no_pressure(-rc, file);
    watched = io::fd(k, number = rc);
    const std::string words = (what.full ? "full " : "some ") + std::to_string(what.stall_ns / 1000)
                              + " " + std::to_string(what.window_ns / 1000);
    const auto n = k.write(watched.get(), {words.c_str(), words.size() + 1});
    if (n == -EINVAL)
      return error{ec::unsupported, "the kernel does not watch the window of " + text_of(what),
                   "without CAP_SYS_RESOURCE windows are 2s, 4s and so on (kernel 6.5)"};
    return n < 0 ? no_pressure(static_cast<int>(-n), file) : result<void>{};
  }

  result<void> open_high(const std::string& path) {
    if (host.mode != cgroup_mode::v2)
      return error{ec::unsupported, "the memory controller of this host is v1: no memory.high",
                   "boot it with systemd.unified_cgroup_hierarchy=1"};
    const std::string file = host.unified + path + "/memory.events";
    const int rc = loop.sys().open(file, O_RDONLY);
    if (rc < 0)
      return from_errno(-rc, "open", file);
    watched = io::fd(loop.sys(), number = rc);
    return {};
  }

  /// What the file says now; reading it makes its poll quiet. Nothing: the group is gone.
  std::optional<pressure_sample> look() {
    std::array<char, 512> bytes{};
    const auto n = loop.sys().pread(number, bytes, 0);
    if (n < 0)
      return {};
    const std::string_view text(bytes.data(), static_cast<size_t>(n));
    if (what.what != resource::memory_high)
      return sample_of(text, what.full);
    return pressure_sample{.count = value_of(text, "high")};
  }

  /// What came before we looked is told at once.
  void begin() {
    if (what.what == resource::memory_high)
      pause.start({}, [this] {
        if (const auto now = look())
          tell_high(*now);
      });
    else
      arm();
  }

  void arm() {
    auto f = [this](int32_t bits) { fired(bits); };
    if (watched)
      poll.start(loop, std::move(watched), POLLPRI, std::move(f));
    else
      poll.again(loop, POLLPRI, std::move(f));
  }

  void fired(int32_t bits) {
    const auto now = bits < 0 ? std::nullopt : look();
    // Of a group that was removed a PSI trigger says POLLERR; memory.events has that always.
    if (!now || (what.what != resource::memory_high && (bits & POLLERR) != 0))
      return;
    if (what.what == resource::memory_high)
      return tell_high(*now);
    arm();
    tell(*now);
  }

  void tell(const pressure_sample& now) {
    const auto f = crossed; // A copy: it may stop us.
    f(now);
  }

  /// It may grow a hundred times a second.
  void tell_high(const pressure_sample& now) {
    if (now.count > told) {
      told = now.count;
      pause.start(high_pause, [this] { arm(); }); // What came meanwhile fires at once.
      tell(now);
      return;
    }
    arm();
  }

  io::loop& loop;
  const cgroup_host& host;
  io::held_poll poll; ///< Owns the file from the first time on.
  io::timer pause;
  io::fd watched;
  int number = -1;
  pressure_trigger what;
  uint64_t told = 0;
  std::function<void(const pressure_sample&)> crossed;
};

pressure_watch::pressure_watch(io::loop& l, const cgroup_host& host)
  : impl_(std::make_unique<impl>(l, host)) {}

pressure_watch::~pressure_watch() = default;

result<void> pressure_watch::start(const std::string& path, const pressure_trigger& what,
                                   uint64_t told,
                                   std::function<void(const pressure_sample&)> f) {
  GANTRY_CHECK(!impl_->poll.started());
  impl_->what = what;
  impl_->told = told;
  impl_->crossed = std::move(f);
  auto done = what.what == resource::memory_high ? impl_->open_high(path) : impl_->open_psi(path);
  if (!done) {
    impl_->watched.reset();
    return done;
  }
  impl_->begin();
  return {};
}

void pressure_watch::stop(std::function<void()> f) {
  impl_->pause.cancel();
  impl_->watched.reset(); // Where it was not waited for yet.
  impl_->poll.drop(impl_->loop, std::move(f));
}

result<void> cgroup_watch::watch_oom(const std::string& path, std::function<void()> f) {
  auto fresh = std::make_unique<oom_watch>(loop_, host_);
  auto started = fresh->start(path, std::move(f));
  if (started)
    oom_ = std::move(fresh);
  return started;
}

result<void> cgroup_watch::watch_pressure(const std::string& path, const pressure_trigger& what,
                                          uint64_t told,
                                          std::function<void(const pressure_sample&)> f) {
  auto fresh = std::make_unique<pressure_watch>(loop_, host_);
  auto started = fresh->start(path, what, told, std::move(f));
  if (started)
    pressure_.push_back(std::move(fresh));
  return started;
}

void cgroup_watch::stop(std::function<void()> f) {
  auto left = std::make_shared<size_t>(1 + pressure_.size() + (oom_ ? 1 : 0));
  const auto one_less = [left, f = std::move(f)] {
    if (--*left == 0)
      f();
  };
  for (const auto& x : pressure_)
    x->stop(one_less);
  if (oom_)
    oom_->stop(one_less);
  loop_.post(one_less);
}

} // namespace gantry::runtime
