#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <poll.h>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "io/local_shelf.hpp"
#include "io/loop.hpp"
#include "io/reaper.hpp"
#include "runtime/bundle.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/engine.hpp"
#include "tests/slower.hpp"

namespace gantry::runtime::testing {

using namespace std::chrono_literals;

/// The real kernel under a loop, in a directory of its own that goes away with it.
class host_rig {
public:
  host_rig() {
    char name[] = "/run/gantry-test-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    dir = name;
    auto made = io::linux_kernel::make();
    REQUIRE(made.ok());
    kernel = *std::move(made);
    loop.emplace(*kernel);
    io::arena_shape shape;
    shape.journal_bytes = 1u << 20;
    shape.small_blocks = 4;
    shape.large_blocks = 1;
    auto local = io::local_shelf::make(*kernel, shape);
    REQUIRE(local.ok());
    shelf = *std::move(local);
    reaper.emplace(*loop, *shelf);
    reaper->start();
    auto host = detect_cgroups(*kernel);
    REQUIRE(host.ok());
    cgroups = *host;
    cgroup_base = "/" + std::filesystem::path(dir).filename().string();
  }

  ~host_rig() {
    reaper.reset();
    loop->drain(5s);
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }

  /// Turns the loop until `done`, at most `limit`. What the loop does not hear of (a file
  /// that changes) is looked at every few milliseconds.
  bool until(const std::function<bool()>& done, std::chrono::nanoseconds limit = 20s) {
    io::timer look(*loop);
    std::function<void()> again = [&look, &again] { look.start(5ms, again); };
    again();
    auto end = kernel->monotonic() + tests::scaled(limit);
    bool is_done = done(); // Asked no more once it said yes: what it looks at may go on changing.
    while (!is_done && kernel->monotonic() < end) {
      loop->turn(true);
      is_done = done();
    }
    return is_done;
  }

  /// The answer of an asynchronous call.
  template <class T>
  result<T> wait(const std::function<void(std::function<void(result<T>)>)>& call,
                 std::chrono::nanoseconds limit = 20s) {
    // Shared: an answer after the limit must not meet a frame that has gone.
    auto got = std::make_shared<std::optional<result<T>>>();
    bool inside = true;
    call([got, &inside](result<T>&& r) { // By value GCC 12 sees a free that is none.
      CHECK_FALSE(inside);
      CHECK_FALSE(got->has_value()); // exactly once
      got->emplace(std::move(r));
    });
    inside = false;
    REQUIRE(until([&got] { return got->has_value(); }, limit));
    return std::move(**got);
  }

  /// A root filesystem with busybox and all its names.
  std::string make_rootfs() {
    auto root = dir + "/rootfs";
    std::filesystem::create_directories(root + "/bin");
    std::filesystem::create_directories(root + "/tmp");
    for (const char* name : {"usr", "lib", "lib64"}) // to bind the host's on, for larger programs
      std::filesystem::create_directories(root + "/" + name);
    std::filesystem::copy_file("/bin/busybox", root + "/bin/busybox");
    for (const char* name : {"sh", "sleep", "true", "false", "cat", "echo", "id", "ls", "env",
                             "touch", "mount", "unshare", "dd", "ps", "kill", "grep", "pwd"})
      std::filesystem::create_symlink("busybox", root + "/bin/" + name);
    return root;
  }

  static std::string slurp(const std::string& path) {
    std::ifstream in(path);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }

  static void spill(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }

  std::string dir;
  std::string cgroup_base; ///< Parent of this rig's cgroups.
  std::unique_ptr<io::linux_kernel> kernel;
  std::optional<io::loop> loop;
  std::unique_ptr<io::local_shelf> shelf;
  std::optional<io::reaper> reaper;
  cgroup_host cgroups;
};

/// An engine with real runc over the rig, and containers by id.
class engine_rig : public host_rig {
public:
  explicit engine_rig(engine_policy policy = {}) {
    root = make_rootfs();
    std::filesystem::create_directories(dir + "/runc");
    engine = make_oci_engine(*loop, *reaper, dir + "/runc", policy,
                             [this](const std::string& id) { return cgroup_path(id); });
  }

  ~engine_rig() {
    for (const auto& id : ids) {
      auto gone = [this, &id](auto f) { engine->remove(runtime, id, true, 1, std::move(f)); };
      (void)wait<void>(gone);
      cgroup group(*kernel, cgroups, cgroup_path(id));
      until([&group] { return group.remove(); }, 2s);
      CHECK(group.remove());
    }
    engine.reset();
    loop->drain(5s);
    CHECK_FALSE(std::filesystem::exists("/sys/fs/cgroup/memory" + cgroup_base));
    CHECK_FALSE(std::filesystem::exists("/sys/fs/cgroup/unified" + cgroup_base));
  }

  [[nodiscard]] std::string cgroup_path(const std::string& id) const {
    return cgroup_base + "/ns/" + id;
  }

  /// The spec of a command in the root filesystem.
  v1::ContainerSpec spec(const std::vector<std::string>& args) const {
    v1::ContainerSpec out;
    out.set_rootfs(root);
    for (const auto& arg : args)
      out.add_args(arg);
    return out;
  }

  result<prepared_bundle> prepare(const std::string& id, v1::ContainerSpec s) {
    bundle_request req;
    req.name = {"default", id};
    req.spec = std::move(s);
    req.dir = dir + "/state/bundles/" + id;
    req.cgroup = cgroup_path("default." + id);
    return wait<prepared_bundle>([this, &req](auto f) { prepare_bundle(*loop, req, f); });
  }

  /// Creates (or runs) a container whose output goes to DIR/ID.out.
  result<made_process> create(const std::string& id, v1::ContainerSpec s, bool run) {
    auto bundle = prepare(id, std::move(s));
    if (!bundle)
      return std::move(bundle).why();
    return create_from(id, bundle->dir, run);
  }

  result<made_process> create_from(const std::string& id, const std::string& bundle, bool run) {
    create_command c;
    c.runtime = runtime;
    c.id = "default." + id;
    c.bundle = bundle;
    int out = ::open(out_of(id).c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    c.stdio = {in, out, out};
    c.run = run;
    c.op = 77;
    ids.push_back(c.id);
    auto got = wait<made_process>([this, &c](auto f) { engine->create(c, f); });
    ::close(out);
    ::close(in);
    return got;
  }

  result<made_process> exec(const std::string& id, const v1::ProcessSpec& p) {
    auto bundle = dir + "/state/bundles/" + id;
    auto process = exec_process(nlohmann::json::parse(slurp(bundle + "/config.json")), p);
    if (!process)
      return std::move(process).why();
    exec_command c;
    c.runtime = runtime;
    c.id = "default." + id;
    c.process_json = process->dump();
    c.dir = bundle;
    c.name = "e1";
    int out = ::open(out_of(id).c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    c.stdio = {in, out, out};
    auto got = wait<made_process>([this, &c](auto f) { engine->exec(c, f); });
    ::close(out);
    ::close(in);
    return got;
  }

  result<void> start(const std::string& id) {
    return wait<void>([this, &id](auto f) {
      engine->start(runtime, "default." + id, dir + "/state/bundles/" + id, 78, f);
    });
  }

  result<void> remove(const std::string& id, bool force) {
    return wait<void>([this, &id, force](auto f) {
      engine->remove(runtime, "default." + id, force, 79, f);
    });
  }

  /// Waits for the end of a process of ours; -1 for an unknown status.
  int end_of(const made_process& p) {
    std::optional<io::death> seen;
    REQUIRE(reaper->watch(p.key, [&seen](const io::death& d) { seen = d; }));
    REQUIRE(until([&seen] { return seen.has_value(); }));
    if (!seen->status.known)
      return -1;
    return seen->status.signal != 0 ? 128 + seen->status.signal : seen->status.code;
  }

  void kill(const made_process& p, int signal) {
    int fd = kernel->pidfd_open(p.key.pid);
    REQUIRE(fd >= 0);
    CHECK(kernel->pidfd_signal(fd, signal) == 0);
    kernel->close(fd);
  }

  [[nodiscard]] std::string out_of(const std::string& id) const { return dir + "/" + id + ".out"; }
  [[nodiscard]] std::string output(const std::string& id) const { return slurp(out_of(id)); }
  [[nodiscard]] cgroup group(const std::string& id) {
    return cgroup(*kernel, cgroups, cgroup_path("default." + id));
  }
  [[nodiscard]] std::vector<std::string> files(const std::string& id) const {
    std::vector<std::string> out;
    for (const auto& f : std::filesystem::directory_iterator(dir + "/state/bundles/" + id))
      out.push_back(f.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }

  std::string runtime = "/usr/sbin/runc";
  std::string root;
  std::unique_ptr<runtime::engine> engine;
  std::vector<std::string> ids;
};

} // namespace gantry::runtime::testing
