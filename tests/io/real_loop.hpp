#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <memory>

#include "io/linux_kernel.hpp"
#include "io/loop.hpp"
#include "tests/slower.hpp"

namespace gantry::io {

/// A loop over the real kernel, with a deadline for everything that a test waits for.
struct real_loop {
  real_loop() : kernel(make()), l(*kernel) {}

  /// Turns until `done`, at most five seconds. False if that was not enough.
  template <class F>
  bool until(F done) {
    bool over = false;
    timer clock(l);
    clock.start(tests::scaled(std::chrono::seconds(5)), [&over] { over = true; });
    while (!done() && !over)
      l.turn(true);
    return done();
  }

  std::unique_ptr<linux_kernel> kernel;
  loop l;

private:
  static std::unique_ptr<linux_kernel> make() {
    auto r = linux_kernel::make();
    INFO((r.ok() ? "" : r.why().text()));
    REQUIRE(r.ok());
    return std::move(r).value();
  }
};

/// A pipe whose two ends close themselves; both are O_NONBLOCK.
struct pipe_pair {
  explicit pipe_pair(kernel& k) {
    int ends[2];
    REQUIRE(k.pipe(ends, 2) == 0);
    reader = fd(k, ends[0]);
    writer = fd(k, ends[1]);
  }
  fd reader, writer;
};

} // namespace gantry::io
