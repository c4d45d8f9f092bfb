#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>

#include "io/held_poll.hpp"
#include "runtime/cgroup.hpp"

namespace gantry::runtime {

/// One watch. v1: an eventfd that the kernel counts up; it holds the directory of the group
/// until it is closed, and fires once more at the group's rmdir. v2: POLLPRI on an open
/// memory.events, re-armed by reading it from its beginning; a removed group reads ENODEV.
struct oom_watch::impl {
  impl(io::loop& l, const cgroup_host& h) : loop(l), host(h), later(l) {}

  result<void> start_v1(const std::string& path) {
    auto& k = loop.sys();
    auto mount = host.mount_of("memory");
    if (mount.empty())
      return error{ec::unsupported, "this host has no memory controller: OOM kills are not seen",
                   "mount it: mount -t cgroup -o memory none /sys/fs/cgroup/memory"};
    std::string dir = std::string(mount) + path;
    int event = k.eventfd();
    if (event < 0)
      return from_errno(-event, "make", "an eventfd for OOM events");
    watched = io::fd(k, number = event);
    int control = k.open(dir + "/memory.oom_control", O_RDONLY);
    if (control < 0)
      return from_errno(-control, "open", dir + "/memory.oom_control");
    io::fd held(k, control); // the kernel keeps its own reference
    auto words = std::to_string(event) + " " + std::to_string(control);
    int rc = k.write_small(dir + "/cgroup.event_control", words);
    if (rc < 0)
      return from_errno(-rc, "write", dir + "/cgroup.event_control");
    return {};
  }

  result<void> start_v2(const std::string& path) {
    std::string file = host.unified + path + "/memory.events";
    int rc = loop.sys().open(file, O_RDONLY);
    if (rc < 0)
      return from_errno(-rc, "open", file);
    watched = io::fd(loop.sys(), number = rc);
    reset(); // the first read is what a change is told against
    return {};
  }

  /// Makes it quiet again; false when the group is gone.
  bool reset() {
    std::array<char, 256> bytes{};
    if (host.mode == cgroup_mode::v2)
      return loop.sys().pread(number, bytes, 0) >= 0;
    loop.sys().read(number, std::span(bytes).first(8));
    return true;
  }

  void arm() {
    uint32_t what = host.mode == cgroup_mode::v2 ? uint32_t(POLLPRI) : uint32_t(POLLIN);
    auto f = [this](int32_t bits) { fired(bits); };
    if (watched)
      poll.start(loop, std::move(watched), what, std::move(f));
    else
      poll.again(loop, what, std::move(f));
  }

  void fired(int32_t bits) {
    if (bits < 0 || !reset() || !loop.sys().exists(alive))
      return; // the group was removed: nothing more will come
    arm();
    // v1 tells of the shortage before the kill is counted: the counter is looked at again.
    if (host.mode != cgroup_mode::v2)
      look_again(0);
    auto f = changed; // a copy: it may stop or destroy the watch
    f();
  }

  void look_again(size_t look) {
    static constexpr std::array<int, 3> after_ms{5, 50, 500};
    if (look == after_ms.size())
      return;
    later.start(std::chrono::milliseconds(after_ms[look]), [this, look] {
      look_again(look + 1);
      auto f = changed;
      f();
    });
  }

  io::loop& loop;
  const cgroup_host& host;
  io::held_poll poll; ///< Owns the file from the first time on.
  io::timer later;
  io::fd watched;
  int number = -1;
  std::string alive; ///< The group's directory.
  std::function<void()> changed;
};

oom_watch::oom_watch(io::loop& l, const cgroup_host& host)
  : impl_(std::make_unique<impl>(l, host)) {}

oom_watch::~oom_watch() = default;

result<void> oom_watch::start(const std::string& path, std::function<void()> f) {
  GANTRY_CHECK(!impl_->poll.started());
  impl_->changed = std::move(f);
  bool v2 = impl_->host.mode == cgroup_mode::v2;
  impl_->alive = (v2 ? impl_->host.unified : std::string(impl_->host.mount_of("memory"))) + path;
  auto done = v2 ? impl_->start_v2(path) : impl_->start_v1(path);
  if (!done) {
    impl_->watched.reset();
    return done;
  }
  impl_->arm();
  return {};
}

void oom_watch::stop(std::function<void()> f) {
  impl_->later.cancel();
  impl_->poll.drop(impl_->loop, std::move(f));
}

} // namespace gantry::runtime
