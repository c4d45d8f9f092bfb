// Races that a supervisor must have decided, one by one.

#include <catch2/catch.hpp>
#include <csignal>

#include "tests/sim/lives/checks.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using sim::world;

namespace {

v1::CreateRequest create(const std::string& id, const std::vector<std::string>& args, bool start) {
  v1::CreateRequest r;
  *r.mutable_ref() = world::ref(id);
  *r.mutable_spec() = world::spec(args);
  r.set_start(start);
  return r;
}

template <class Request>
Request on(const std::string& id) {
  Request r;
  *r.mutable_ref() = world::ref(id);
  return r;
}

void remove_all(world& w) {
  const auto listed = w.list();
  for (const auto& c : listed.containers()) {
    auto r = on<v1::RemoveRequest>(c.id());
    r.set_force(true);
    const auto gone = w.must<v1::RemoveReply>(r);
    INFO((gone.ok() ? "" : gone.why().text()));
    CHECK(gone.ok());
  }
}

/// Everything that must hold at the end of each scenario.
void at_the_end(world& w) {
  sim::findings out;
  w.pass(5s);
  check_list(w, out);
  check_logs(w, out);
  remove_all(w);
  w.pass(30s);
  check_events(w, w.events(), out);
  check_nothing_left(w, out);
  for (const auto& f : out)
    FAIL_CHECK(f);
}

} // namespace

TEST_CASE("a container runs, logs, exits and is removed", "[sim]") {
  for (bool hybrid : {false, true}) {
    sim::machine_options o;
    o.hybrid = hybrid;
    world w(o);
    const bool up = w.begin_life();
    INFO(w.why);
    REQUIRE(up);
    const auto made = w.must<v1::CreateReply>(
      create("a", {"work", "out=5000", "err=300", "after=20ms", "exit=7"}, true));
    INFO((made.ok() ? "" : made.why().text()));
    REQUIRE(made.ok());
    const auto end = w.must<v1::WaitReply>(on<v1::WaitRequest>("a"));
    REQUIRE(end.ok());
    CHECK(end->exit().exit_code() == 7);
    CHECK(end->exit().stdout_bytes() == 5000);
    CHECK(end->exit().stderr_bytes() == 300);
    at_the_end(w);
  }
}
