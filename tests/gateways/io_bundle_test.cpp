#include "gateways/client/io_bundle.hpp"

#include <catch2/catch.hpp>

#include "tests/gateways/bus_rig.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// A bundle at the real bus, with what it was told.
struct bundle_rig : bus_rig {
  explicit bundle_rig(const std::string& id) : way(socket.path()), io(way, opening(id), hearing()) {
    io.start();
  }

  static v1::AttachOpen opening(const std::string& id) {
    v1::AttachOpen open;
    open.mutable_ref()->set_id(id);
    open.set_input(true);
    return open;
  }

  client::io_events hearing() {
    client::io_events on;
    on.ready = [this] { ++ready; };
    on.output = [this](uint32_t stream, const std::string& bytes) { out[stream - 1] += bytes; };
    return on;
  }

  template <class Done>
  bool wait(Done done) {
    return until([&] {
      way.step({}, 0);
      return done();
    });
  }

  client::channel way;
  int ready = 0;
  std::string out[2];
  client::io_bundle io;
};

} // namespace

TEST_CASE("io bundle: three streams, ready before anything comes, closed without an error",
          "[uring]") {
  bundle_rig rig("web");
  rig.io.write("early"); // Kept until the streams are there.
  REQUIRE(rig.wait([&] { return rig.ready == 1; }));
  CHECK(rig.io.ready());
  CHECK_FALSE(rig.io.terminal());
  CHECK(rig.io.process().instance() == 7);
  REQUIRE(rig.wait([&] { return rig.out[0] == "early"; }));
  rig.io.write(" words");
  REQUIRE(rig.wait([&] { return rig.out[0] == "early words"; }));
  CHECK(rig.out[1].empty());
  rig.io.close_stdin();
  rig.io.close_stdin(); // Once is enough, twice is no harm.
  rig.io.write("too late");
  REQUIRE(rig.wait([&] { return rig.io.finished(); }));
  REQUIRE(rig.io.exit());
  CHECK(rig.io.exit()->exit_code() == 0);
  CHECK(rig.io.close().ok());
  CHECK(rig.out[0] == "early words");
}

TEST_CASE("io bundle: close ends what is open, and gives the first error", "[uring]") {
  {
    bundle_rig rig("web");
    REQUIRE(rig.wait([&] { return rig.io.ready(); }));
    CHECK(rig.io.close().ok());
    CHECK(rig.io.close().ok()); // Nothing is open any more: no error.
    CHECK(rig.wait([&] { return rig.front.sources == 0; }));
  }
  bundle_rig missing("missing");
  REQUIRE(missing.wait([&] { return missing.io.finished(); }));
  const auto closed = missing.io.close();
  REQUIRE_FALSE(closed.ok());
  CHECK(closed.why().code == ec::not_found);
  CHECK(missing.ready == 0);
}
