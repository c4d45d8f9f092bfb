// Those that others come after are gone, or the whole host was.

#include <csignal>

#include "tests/sim/lives/waits.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

void kill_init(world& w, const std::string& id) {
  w.host.signal(*w.host.find(process_of(w, id, "init").pid), SIGKILL);
}

std::vector<v1::Event> events_of(world& w, const std::string& type, const std::string& id) {
  std::vector<v1::Event> out;
  for (const auto& e : w.events())
    if (e.type() == type && e.container() == id)
      out.push_back(e);
  return out;
}

/// The host is switched off and on: no process and nothing in memory outlives that.
void boot_again(world& w, bool orderly) {
  w.pass(2s); // All is on the disk.
  if (!orderly)
    w.kill();
  w.end_life();
  for (const auto& [pid, p] : std::map<pid_t, process_ptr>(w.host.processes()))
    if (p != w.host.keeper_process())
      w.host.signal(*p, SIGKILL);
  w.host.time.advance(30s);
  auto groups = w.host.groups.paths();
  for (auto path = groups.rbegin(); path != groups.rend(); ++path)
    CHECK(w.host.groups.remove(*path));
  for (const auto& path : w.host.files.walk("/run/gantry"))
    w.host.files.remove_all(path);
  w.host.boot_id = "7d0c9e3a-0000-4000-8000-000000000002";
  w.host.shelf_keeper.boot();
  REQUIRE(w.begin_life());
}

} // namespace

TEST_CASE("a restart is not made while what it comes after is gone, and that is said", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    must_run(w, "db", {"work", "term=0"});
    auto web = after("web", "db", "started");
    web.mutable_spec()->mutable_restart()->set_when("always");
    web.mutable_spec()->mutable_restart()->set_delay_max_ns(ns_of(10s));
    done<v1::CreateReply>(w, web);
    auto gone = on<v1::RemoveRequest>("db");
    gone.set_force(true);
    done<v1::RemoveReply>(w, gone);
    w.pass(d.chance(0.5) ? 20s : 1s); // Up for long, or not.
    kill_init(w, "web");
    pass_with_kills(w, d, 1min, 1s, 0.05);
    CHECK(seqs(w, "waiting", "web").empty());
    const auto failed = events_of(w, "start-failed", "web");
    CHECK(failed.size() >= 7);
    CHECK(failed.size() <= 15); // The delay grows.
    for (const auto& e : failed)
      CHECK(e.message().find("db:started") != std::string::npos);
    for (const auto& e : events_of(w, "restart-scheduled", "web"))
      CHECK(e.run() == 1); // No other run was made.
    if (d.chance(0.5)) { // Somebody makes it anew.
      must_run(w, "db", {"work", "term=0"});
      wait_state(w, "web", v1::RUNNING, 1min);
      CHECK(seqs(w, "start", "web").size() == 2);
    } else { // A person's word ends it.
      done<v1::StopReply>(w, on<v1::StopRequest>("web"));
      w.pass(30s);
      CHECK(state_of(w, "web") == v1::STOPPED);
      CHECK(events_of(w, "start-failed", "web").size() == failed.size());
    }
  }, 15);
}

TEST_CASE("a restart that is never made counts as an attempt of its policy", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "db", {"work", "term=0"});
  auto web = after("web", "db", "started");
  web.mutable_spec()->mutable_restart()->set_when("on-failure");
  web.mutable_spec()->mutable_restart()->set_retries(3);
  done<v1::CreateReply>(w, web);
  auto gone = on<v1::RemoveRequest>("db");
  gone.set_force(true);
  done<v1::RemoveReply>(w, gone);
  kill_init(w, "web");
  wait_state(w, "web", v1::DEAD, 1min);
  CHECK(events_of(w, "start-failed", "web").size() == 3);
  const auto dead = events_of(w, "dead", "web");
  REQUIRE(dead.size() == 1);
  CHECK(dead[0].cause() == events_of(w, "start-failed", "web").back().seq());
  at_the_end(w);
}

TEST_CASE("after a boot of the host what comes after others is started after them", "[sim]") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    machine_options o;
    o.seed = seed;
    o.hybrid = seed % 2 == 0;
    world w(o);
    REQUIRE(w.begin_life());
    dice d(seed * 77);
    auto db = probed("db", "exit=0");
    db.mutable_spec()->mutable_health()->mutable_probes(0)->set_interval_ns(ns_of(10s));
    db.mutable_spec()->mutable_restart()->set_when("always");
    done<v1::CreateReply>(w, db);
    auto web = after("web", "db", "healthy");
    web.mutable_spec()->mutable_restart()->set_when("always");
    const bool waits = d.chance(0.5);
    if (waits) // Its wait is cut off by the boot.
      send<v1::CreateReply>(w, web), wait_state(w, "web", v1::WAITING);
    else
      done<v1::CreateReply>(w, web);
    const auto epoch = w.events().back().epoch();
    boot_again(w, d.chance(0.5));
    w.pass(1min);
    CHECK(state_of(w, "web") == v1::RUNNING);
    CHECK(w.events().back().epoch() != epoch);
    const auto since = [epoch](std::vector<v1::Event> all) {
      std::erase_if(all, [epoch](const auto& e) { return e.epoch() == epoch; });
      return all;
    };
    const auto starts = since(events_of(w, "start", "web"));
    REQUIRE(starts.size() == 1);
    const auto healthy = since(events_of(w, "health", "db"));
    REQUIRE_FALSE(healthy.empty());
    CHECK(starts[0].seq() > healthy[0].seq());
    CHECK(since(events_of(w, "start", "db")).size() == 1);
    remove_all(w);
    w.pass(30s);
    findings out; // How the last ones of before ended nobody knows: that is no finding.
    check_nothing_left(w, out);
    for (const auto& f : out)
      FAIL_CHECK(f);
  }
}
