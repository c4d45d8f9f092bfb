#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gantry/gantry.hpp>

namespace gantry::testing {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// What a test asked for, within a time that is no luck.
template <class T>
result<T> got(std::future<result<T>> x) {
  if (x.wait_for(60s) != std::future_status::ready)
    return error{ec::deadline_exceeded, "the test waited in vain", ""};
  return x.get();
}

/// A cgroup and all below it: its files cannot be removed, its directories can.
inline void remove_groups(const fs::path& top) {
  std::error_code ignored;
  for (const auto& e : fs::directory_iterator(top, ignored))
    if (e.is_directory(ignored))
      remove_groups(e.path());
  fs::remove(top, ignored);
}

/// Directories of its own, a root filesystem, and supervisors on them.
struct rig {
  rig() {
    char name[] = "/run/gantry-lib-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    dir = name;
    rootfs = dir + "/rootfs";
    for (const auto* d : {"bin", "proc", "dev", "sys", "tmp"})
      fs::create_directories(rootfs + "/" + d);
    fs::copy_file("/bin/busybox", rootfs + "/bin/busybox");
    for (const auto* applet : {"sh", "cat", "echo", "sleep", "true", "seq", "head", "yes",
                               "stty", "id", "stat", "grep"})
      fs::create_symlink("busybox", rootfs + "/bin/" + applet);
  }
  ~rig() {
    sup.reset();
    std::error_code ignored;
    std::vector<fs::path> tops{"/sys/fs/cgroup"};
    for (const auto& e : fs::directory_iterator("/sys/fs/cgroup", ignored))
      tops.push_back(e.path());
    for (const auto& top : tops)
      remove_groups(top / parent());
    fs::remove_all(dir, ignored);
  }

  [[nodiscard]] std::string parent() const { return fs::path(dir).filename().string(); }

  [[nodiscard]] start_options options(const std::string& name = "a") const {
    start_options o;
    o.state_dir = dir + "/" + name + "-state";
    o.root_dir = dir + "/" + name + "-root";
    o.cgroup_parent = parent();
    o.socket = o.state_dir + "/gantry.sock";
    o.keeper = false;
    return o;
  }

  supervisor& start() {
    auto made = supervisor::start(options());
    INFO((made ? "" : made.why().text()));
    REQUIRE(made.ok());
    sup = std::move(*made);
    return *sup;
  }

  [[nodiscard]] std::unique_ptr<supervisor> connect() const {
    connect_options o;
    o.socket = options().socket;
    auto made = supervisor::connect(o);
    INFO((made ? "" : made.why().text()));
    REQUIRE(made.ok());
    return std::move(*made);
  }

  [[nodiscard]] create_request run(const std::string& id, std::vector<std::string> args) const {
    create_request r;
    r.ref = id;
    r.spec.rootfs = rootfs;
    r.spec.args = std::move(args);
    r.spec.stop_timeout = 100ms; // Init hears no SIGTERM that it has no handler for.
    return r;
  }

  std::string dir;
  std::string rootfs;
  std::unique_ptr<supervisor> sup;
};

inline std::string text_of(int number) {
  std::string out;
  char part[65536];
  for (ssize_t n; (n = ::read(number, part, sizeof(part))) > 0;)
    out.append(part, size_t(n));
  return out;
}

/// The same test on a supervisor of our own, and on a connection to it.
template <class F>
void both_ways(F test) {
  SECTION("embedded") {
    rig r;
    r.start();
    test(r, *r.sup);
  }
  SECTION("connected") {
    rig r;
    r.start();
    auto there = r.connect();
    test(r, *there);
  }
}

} // namespace gantry::testing
