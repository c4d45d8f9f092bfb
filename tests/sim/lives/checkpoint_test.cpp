// Checkpoints, and runs that go on from them, with a supervisor that dies at any call.

#include <catch2/catch.hpp>
#include <csignal>

#include "tests/sim/lives/checks.hpp"

using namespace gantry;
using namespace std::chrono_literals;
using sim::world;

namespace {

template <class Request>
Request of_a(const std::string& request_id) {
  Request r;
  *r.mutable_ref() = world::ref("a");
  r.set_request_id(request_id);
  return r;
}

/// Asks until there is an answer, in however many lives that takes.
template <class Reply, class Request>
result<Reply> stubbornly(world& w, const Request& r) {
  for (int tries = 0; tries < 10; ++tries) {
    if (!w.lives()) {
      w.end_life();
      if (!w.begin_life())
        return error{ec::internal, w.why, ""};
    }
    auto got = w.ask<Reply>(r);
    if (!got || (!got->ok() && !w.lives())) // The last words of one that is being killed.
      continue;
    const bool passing = !got->ok()
                         && (got->why().code == ec::disk_full
                             || got->why().code == ec::unavailable
                             || got->why().code == ec::resource_exhausted);
    if (!passing)
      return *std::move(got);
    w.pass(1s); // "Not now": a supervisor that has just come may lack its room on the disk.
  }
  return error{ec::internal, "no answer in ten lives", ""};
}

template <class Reply, class Request>
Reply must(world& w, const Request& r) {
  auto got = stubbornly<Reply>(w, r);
  INFO(r.GetTypeName() << ": " << (got.ok() ? "" : got.why().text()));
  REQUIRE(got.ok());
  return *got;
}

v1::CheckpointRequest checkpoint(const std::string& name, bool leave) {
  auto r = of_a<v1::CheckpointRequest>("c-" + name);
  r.set_name(name);
  r.set_leave_running(leave);
  return r;
}

v1::State state(world& w) {
  w.pass(1s);
  const auto list = w.list();
  return list.containers_size() == 1 ? list.containers(0).state() : v1::STATE_UNSPECIFIED;
}

/// One container, two checkpoints, a run from the second one, removal.
void a_life_with_checkpoints(world& w) {
  auto create = of_a<v1::CreateRequest>("create");
  *create.mutable_spec() = world::bundle_spec({"work", "out=500", "term=3"});
  create.set_start(true);
  must<v1::CreateReply>(w, create);
  const auto one = must<v1::CheckpointReply>(w, checkpoint("one", true));
  CHECK(one.name() == "one");
  const auto two = must<v1::CheckpointReply>(w, checkpoint("two", false));
  v1::WaitRequest wait;
  *wait.mutable_ref() = world::ref("a");
  const auto end = must<v1::WaitReply>(w, wait);
  CHECK(end.exit().signal() == SIGKILL);
  CHECK(end.exit().checkpoint() == "two");
  auto start = of_a<v1::StartRequest>("start");
  start.set_checkpoint("two");
  must<v1::StartReply>(w, start);
  v1::ListCheckpointsRequest all;
  *all.mutable_ref() = world::ref("a");
  CHECK(must<v1::ListCheckpointsReply>(w, all).checkpoints_size() == 2);
  auto forget = of_a<v1::RemoveCheckpointRequest>("forget");
  forget.set_name("one");
  must<v1::RemoveCheckpointReply>(w, forget);
  auto stop = of_a<v1::StopRequest>("stop");
  CHECK(must<v1::StopReply>(w, stop).exit().exit_code() == 3);
}

void ends_clean(world& w) {
  do { // The last life may end in the pause, too.
    if (!w.lives()) {
      w.end_life();
      REQUIRE(w.begin_life());
    }
    w.pass(5s);
  } while (!w.lives());
  sim::findings out;
  check_list(w, out);
  check_logs(w, out);
  auto remove = of_a<v1::RemoveRequest>("remove");
  remove.set_force(true);
  must<v1::RemoveReply>(w, remove);
  w.pass(30s);
  check_events(w, w.events(), true, out);
  check_nothing_left(w, out);
  for (const auto& f : out)
    FAIL_CHECK(f);
}

size_t count(const std::vector<v1::Event>& events, const std::string& type) {
  return size_t(std::count_if(events.begin(), events.end(),
                              [&type](const auto& e) { return e.type() == type; }));
}

} // namespace

TEST_CASE("checkpoints: a container ends with one, and goes on from it", "[sim]") {
  for (uint64_t seed = 1; seed <= 20; ++seed)
    for (bool hybrid : {false, true}) {
      INFO("seed " << seed << (hybrid ? ", hybrid" : ", v2"));
      sim::machine_options o;
      o.seed = seed;
      o.hybrid = hybrid;
      world w(o);
      REQUIRE(w.begin_life());
      a_life_with_checkpoints(w);
      const auto events = w.events();
      CHECK(count(events, "checkpointed") == 2);
      CHECK(count(events, "start") == 2);
      CHECK(count(events, "exit") == 2);
      ends_clean(w);
    }
}

TEST_CASE("checkpoints: the supervisor may die at any call", "[sim]") {
  const uint64_t stride = std::getenv("GANTRY_SIM_KILLS") ? 1 : 11;
  for (bool hybrid : {false, true}) {
    bool reached = true;
    for (uint64_t n = 1; reached; n += stride) {
      INFO("killed at call " << n << (hybrid ? ", hybrid" : ", v2"));
      sim::machine_options o;
      o.seed = n;
      o.hybrid = hybrid;
      world w(o);
      (void)w.begin_life(n);
      a_life_with_checkpoints(w);
      reached = w.lives_lived > 1;
      ends_clean(w);
    }
  }
}

TEST_CASE("checkpoints: one that fails leaves the container running and no images", "[sim]") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    sim::machine_options o;
    o.seed = seed;
    o.faults.runtime_fails = 0.7;
    o.faults.runtime_dies = 0.3;
    world w(o);
    REQUIRE(w.begin_life());
    auto create = of_a<v1::CreateRequest>("create");
    *create.mutable_spec() = world::bundle_spec({"work"});
    create.set_start(true);
    if (!stubbornly<v1::CreateReply>(w, create))
      continue;
    const auto got = stubbornly<v1::CheckpointReply>(w, checkpoint("one", true));
    CHECK(state(w) == v1::RUNNING);
    const auto files = w.host.files.walk("/var/lib/gantry/checkpoints");
    CHECK(files.size() == (got.ok() ? 7 : 1)); // The container's directory stays.
    if (!got.ok())
      CHECK(count(w.events(), "checkpoint-failed") == 1);
  }
}
