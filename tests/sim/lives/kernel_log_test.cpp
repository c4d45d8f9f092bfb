// Whom the OOM killer has killed, on a host whose kernel's log is long: it is read in several turns
// of the loop, and an exit that it explains waits for it.

#include <csignal>

#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

constexpr auto victim = [](const v1::Event& e) { return e.details().at("victim"); };

std::vector<v1::Event> ooms(world& w) {
  std::vector<v1::Event> out;
  for (const auto& e : w.events())
    if (e.type() == "oom")
      out.push_back(e);
  return out;
}

v1::CreateRequest limited(const std::vector<std::string>& args) {
  auto r = create("a", args, true);
  r.mutable_spec()->mutable_resources()->set_memory_bytes(64 << 20);
  return r;
}

/// A host that has said much already.
machine_options talkative(uint64_t seed) {
  machine_options o;
  o.seed = seed;
  o.kernel_log = true;
  return o;
}

void say_much(world& w) {
  for (int i = 0; i < 2000; ++i)
    w.host.log_of_kernel("usb 1-1: new device number " + std::to_string(i));
}

} // namespace

TEST_CASE("an exit waits until the kernel's log is read, and tells what it says", "[sim]") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    world w(talkative(seed));
    dice d(seed);
    say_much(w);
    REQUIRE(w.begin_life());
    done<v1::CreateReply>(w, limited({"work", "oom", "after=2s"}));
    w.pass(2s - 100us);
    if (d.chance(0.7)) { // Around the kill, the reading and the exit.
      w.pass(d.between(0us, 400us));
      live_again(w);
    }
    const auto end = done<v1::WaitReply>(w, wait_for("a")).exit();
    CHECK(end.signal() == SIGKILL);
    CHECK(end.oom());
    CHECK(end.oom_victim() == "init");
    live_again(w);
    w.pass(1s);
    REQUIRE(ooms(w).size() == 1);
    CHECK(victim(ooms(w)[0]) == "init");
    CHECK(count_events(w, "exit") == 1);
  }
}

TEST_CASE("an exec by SIGKILL claims no OOM kill that the kernel's log tells of another", "[sim]") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    world w(talkative(seed));
    say_much(w);
    REQUIRE(w.begin_life());
    done<v1::CreateReply>(w, limited({"work"}));
    const auto pid = done<v1::ExecReply>(w, exec("a", {"work"}, "x")).pid();
    w.pass(2s);
    // A process that is none of ours is killed for want of memory; somebody kills the exec.
    for (const char* path : {"/gantry/default/a", "/gantry/default", "/gantry"}) {
      ++w.host.groups.at(path)->oom_kill;
      w.host.groups.at(path)->moved();
    }
    w.host.log_of_kernel("Memory cgroup out of memory: Killed process 31000 (tail) total-vm:1kB");
    w.host.signal(*w.host.find(pid), SIGKILL);
    CHECK_FALSE(done<v1::WaitReply>(w, wait_for("a", "x")).exit().oom());
    w.pass(1s);
    REQUIRE(ooms(w).size() == 1);
    CHECK(victim(ooms(w)[0]) == "other");
  }
}

TEST_CASE("a supervisor that goes away while the kernel's log is read leaves the exit to the next",
          "[sim]") {
  world w(talkative(1));
  say_much(w);
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, limited({"work", "oom", "after=2s"}));
  w.pass(2s - 1ms);
  w.until([&w] {
    const auto* c = w.shared().ledger.now().find({"default", "a"});
    return c->init()->phase == runtime::process_view::phase_t::died;
  });
  w.end_life(); // In order: it does not wait for what it has no time for.
  REQUIRE(w.begin_life());
  const auto end = done<v1::WaitReply>(w, wait_for("a")).exit();
  CHECK(end.oom());
  CHECK(end.oom_victim() == "init");
  w.pass(1s);
  CHECK(ooms(w).size() == 1);
}
