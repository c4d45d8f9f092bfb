#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "io/ops.hpp"
#include "tests/sim/sim_kernel.hpp"
#include "tests/sim/sim_programs.hpp"
#include "tests/slower.hpp"

namespace gantry::sim {

/// The real kernel with a directory of its own on this machine.
class linux_host {
public:
  linux_host() {
    auto made = io::linux_kernel::make();
    REQUIRE(made.ok());
    kernel_ = std::move(*made);
    char name[] = "/tmp/gantry-conformance-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    dir_ = name;
  }
  ~linux_host() { std::filesystem::remove_all(dir_); }
  [[nodiscard]] io::kernel& kernel() noexcept { return *kernel_; }
  [[nodiscard]] const std::string& dir() const noexcept { return dir_; }

private:
  std::unique_ptr<io::linux_kernel> kernel_;
  std::string dir_;
};

/// The simulated kernel without any fault.
class sim_host {
public:
  sim_host() : machine_(machine_options{}) {
    install_basics(machine_);
    machine_.files.mkdirs("/tmp/work");
    kernel_ = std::make_unique<incarnation>(machine_);
  }
  [[nodiscard]] io::kernel& kernel() noexcept { return *kernel_; }
  [[nodiscard]] std::string dir() const { return "/tmp/work"; }

private:
  machine machine_;
  std::unique_ptr<incarnation> kernel_;
};

/// What every conformance check starts from: one of the two kernels under a loop.
template <class Host>
struct lab {
  Host host;
  io::kernel& k = host.kernel();
  io::loop loop{k};
  std::string dir = host.dir();

  /// Turns until `done`; a check that takes longer than ten (scaled) seconds fails.
  template <class F>
  void until(F done) {
    const auto limit = k.monotonic() + tests::scaled(std::chrono::seconds(10));
    io::timer tick(loop);
    while (!done() && k.monotonic() < limit) {
      tick.start(std::chrono::milliseconds(20), [] {}); // For what no request tells.
      loop.turn(true);
    }
    REQUIRE(done());
  }

  /// The answer of a request that is started by `start(callback)`.
  template <class F>
  int32_t answer(F start) {
    bool done = false;
    int32_t res = 0;
    start([&](int32_t r) {
      res = r;
      done = true;
    });
    until([&] { return done; });
    return res;
  }

  int32_t poll(int fd, uint32_t events) {
    io::poll_op p(loop);
    return answer([&](auto f) { p.start(fd, events, f); });
  }

  /// Readiness as poll(2) would give it without waiting.
  int32_t poll_now(int fd, uint32_t events) {
    io::poll_op p(loop);
    bool done = false;
    int32_t res = 0;
    p.start(fd, events, [&](int32_t r) {
      res = r;
      done = true;
    });
    for (int i = 0; i < 3 && !done; ++i)
      loop.turn(false);
    if (!done) {
      p.cancel();
      until([&] { return done; });
    }
    return res == -ECANCELED ? 0 : res;
  }

  int open(const std::string& path, int flags, mode_t mode = 0644) {
    io::open_op o(loop);
    return answer([&](auto f) { o.start(AT_FDCWD, path, flags, mode, false, f); });
  }

  int32_t write(int fd, std::string_view text, uint64_t at) {
    io::write_op w(loop);
    return answer([&](auto f) { w.start(fd, {text.data(), text.size()}, at, f); });
  }

  std::pair<int32_t, std::string> read(int fd, size_t most, uint64_t at) {
    io::read_op r(loop);
    std::string into(most, '?');
    const int32_t n = answer([&](auto f) { r.start(fd, into, at, f); });
    into.resize(size_t(std::max(n, 0)));
    return {n, into};
  }

  /// Starts a program with /dev/null as its stdio.
  io::child spawn(const std::string& path, std::vector<std::string> argv) {
    const int null = k.open("/dev/null", O_RDWR);
    REQUIRE(null >= 0);
    io::child c;
    REQUIRE(k.spawn({path, std::move(argv), {"PATH=/bin"}, "/", {{null, 0}, {null, 1}, {null, 2}}},
                    c) == 0);
    k.close(null);
    return c;
  }

  /// Waits for the end of a child and reaps it.
  io::exit_status end_of(const io::child& c) {
    CHECK((poll(c.pidfd, POLLIN) & POLLIN) != 0);
    io::exit_status s;
    CHECK(k.reap(c.pidfd, s) == 0);
    return s;
  }
};

} // namespace gantry::sim
