// What containers say at their notify sockets, under virtual time, with the supervisor killed at
// any moment.

#include <csignal>

#include "runtime/bundle.hpp"
#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

v1::CreateRequest with_socket(const std::vector<std::string>& words = {"work", "term=0"}) {
  auto r = create("a", words, true);
  r.mutable_spec()->mutable_notify();
  return r;
}

std::string socket_of(world& w, const std::string& id = "a") {
  return world::options().state_dir + "/notify/" + actors::hex16(process_of(w, id, "init").serial)
         + "/" + std::string(runtime::notify_name);
}

/// Its init says something, or somebody else does.
int say(world& w, const std::string& words, pid_t pid = 0) {
  return w.host.send(socket_of(w), words, pid != 0 ? pid : process_of(w, "a", "init").pid);
}

std::vector<v1::Event> events_of(world& w, const std::string& type) {
  std::vector<v1::Event> out;
  for (const auto& e : w.events())
    if (e.type() == type)
      out.push_back(e);
  return out;
}

} // namespace

TEST_CASE("it is ready when it says so, once, whoever was away meanwhile", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, with_socket());
    CHECK(health(w) == "starting");
    CHECK(say(w, "STATUS=loading") == 0);
    w.pass(d.between(0ms, 50ms));
    CHECK_FALSE(inspected(w).summary().ready());
    const auto path = socket_of(w);
    const auto pid = process_of(w, "a", "init").pid;
    const bool away = d.chance(0.5);
    if (away) { // What is said to nobody waits.
      w.kill();
      w.end_life();
    }
    CHECK(w.host.send(path, "READY=1\nSTATUS=up", pid) == 0);
    CHECK(w.host.send(path, "nonsense", pid) == 0);
    if (away)
      REQUIRE(w.begin_life());
    w.pass(100ms);
    if (d.chance(0.5))
      live_again(w);
    const auto seen = inspected(w);
    CHECK(seen.summary().health() == "healthy");
    CHECK(seen.summary().ready());
    CHECK(seen.summary().said() == "up");
    CHECK(seen.health().notify().refused() == 0);
    const auto told = events_of(w, "ready");
    REQUIRE(told.size() == 1);
    CHECK(told[0].details().at("status") == "up");
    const auto changes = events_of(w, "health");
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].cause() == told[0].seq());
    CHECK(changes[0].details().at("role") == "notify");
    CHECK(changes[0].details().at("ready") == "true");
  }, 15);
}

TEST_CASE("a watchdog that is fed is never missed, one that is not is", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = with_socket();
    r.mutable_spec()->mutable_notify()->set_watchdog_ns(ns_of(2s));
    r.mutable_spec()->mutable_health()->set_on_unhealthy("restart");
    done<v1::CreateReply>(w, r);
    w.pass(5s);
    CHECK(health(w) == "starting"); // It has all the time until it is ready.
    say(w, "READY=1");
    for (int i = 0; i < 20; ++i) {
      w.pass(d.between(100ms, 1500ms));
      say(w, "WATCHDOG=1");
      if (d.chance(0.15))
        live_again(w);
    }
    CHECK(health(w) == "healthy");
    CHECK(count_events(w, "start") == 1);
    if (d.chance(0.5))
      live_again(w);
    w.pass(4s);
    const auto changes = events_of(w, "health");
    REQUIRE(changes.size() == 2);
    CHECK(changes[1].details().at("output") == "it has not said WATCHDOG=1 for 2 s");
    CHECK(changes[1].details().at("ready") == "false");
    w.pass(10s);
    CHECK(count_events(w, "start") == 2);
    CHECK(health(w) == "starting"); // All of it begins anew.
    CHECK(inspected(w).health().notify().datagrams() == 0);
  }, 15);
}

TEST_CASE("a start that takes too long is an illness, and heals", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  auto r = with_socket();
  r.mutable_spec()->mutable_notify()->set_start_timeout_ns(ns_of(3s));
  r.mutable_spec()->mutable_notify()->set_extend_max_ns(ns_of(4s));
  done<v1::CreateReply>(w, r);
  w.pass(2s);
  say(w, "EXTEND_TIMEOUT_USEC=60000000");
  w.pass(1s);
  live_again(w);
  w.pass(3s);
  CHECK(health(w) == "starting"); // Seven seconds, and no more.
  w.pass(2s);
  CHECK(health(w) == "unhealthy");
  CHECK(events_of(w, "health")[0].details().at("output")
        == "it has not said READY=1 within 3 s");
  say(w, "READY=1");
  w.pass(100ms);
  CHECK(health(w) == "healthy");
  at_the_end(w);
}

TEST_CASE("a paused container need not say anything", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = with_socket();
    r.mutable_spec()->mutable_notify()->set_watchdog_ns(ns_of(2s));
    done<v1::CreateReply>(w, r);
    say(w, "READY=1");
    w.pass(1s);
    done<v1::PauseReply>(w, on<v1::PauseRequest>("a"));
    w.pass(1min);
    if (d.chance(0.5))
      live_again(w);
    w.pass(1min);
    done<v1::ResumeReply>(w, on<v1::ResumeRequest>("a"));
    if (d.chance(0.5))
      live_again(w);
    w.pass(1500ms);
    CHECK(health(w) == "healthy");
    w.pass(2s);
    CHECK(health(w) == "unhealthy");
    say(w, "WATCHDOG=1");
    w.pass(100ms);
    CHECK(health(w) == "healthy");
    say(w, "WATCHDOG=trigger\nSTATUS=out of order");
    w.pass(100ms);
    CHECK(events_of(w, "health").back().details().at("output")
          == "it has said WATCHDOG=trigger; its status: out of order");
  }, 10);
}

TEST_CASE("a stop waits as long as it is asked to, within the bound", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = with_socket({"work", "ignore-term"});
    r.mutable_spec()->set_stop_timeout_ns(ns_of(2s));
    r.mutable_spec()->mutable_notify()->set_extend_max_ns(ns_of(10s));
    done<v1::CreateReply>(w, r);
    say(w, "READY=1");
    w.pass(1s);
    auto stopped = send<v1::StopReply>(w, on<v1::StopRequest>("a"));
    w.pass(1s);
    say(w, "STOPPING=1\nEXTEND_TIMEOUT_USEC=5000000");
    w.pass(500ms);
    CHECK_FALSE(inspected(w).summary().ready());
    if (d.chance(0.5))
      live_again(w);
    w.pass(3500ms);
    CHECK(inspected(w).summary().state() == v1::STOPPING); // 5 s and more.
    w.pass(3s);
    CHECK(inspected(w).summary().state() == v1::STOPPED);
    const auto kills = events_of(w, "kill");
    REQUIRE(kills.size() >= 2);
    CHECK(kills.back().details().at("signal") == "SIGKILL");
    CHECK(events_of(w, "notify")[0].details().at("what") == "stopping");
    CHECK(w.host.send(socket_of(w), "READY=1", 1) != 0); // It has gone with the run.
  }, 10);
}

TEST_CASE("who says that it stops has the time of a stop, and asks for more", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    auto r = with_socket();
    r.mutable_spec()->set_stop_timeout_ns(ns_of(4s));
    r.mutable_spec()->mutable_notify()->set_extend_max_ns(ns_of(10s));
    done<v1::CreateReply>(w, r);
    say(w, "READY=1");
    w.pass(1s);
    say(w, "STOPPING=1");
    w.pass(2s);
    const bool more = d.chance(0.5);
    if (more)
      say(w, "EXTEND_TIMEOUT_USEC=6000000");
    w.pass(d.between(0ms, 1s));
    if (d.chance(0.5))
      live_again(w);
    w.pass(d.between(0ms, 500ms));
    CHECK(inspected(w).summary().state() == v1::RUNNING);
    w.pass(more ? 3s : 1s);
    if (more)
      CHECK(inspected(w).summary().state() == v1::RUNNING);
    w.pass(6s);
    CHECK(inspected(w).summary().state() == v1::STOPPED);
    CHECK(inspected(w).summary().exit().signal() == SIGKILL);
    const auto told = events_of(w, "notify");
    REQUIRE_FALSE(told.empty());
    CHECK(told.back().details().at("what") == "overdue");
    CHECK(events_of(w, "kill").front().details().at("reason") == "overdue");
    CHECK(count_events(w, "health") == 1); // That it is not well is not said of it.
  }, 10);
}

TEST_CASE("strangers and those who shout are not heard, and counted", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_socket());
  must_run(w, "b", {"work", "term=0"});
  const auto stranger = process_of(w, "b", "init").pid;
  say(w, "READY=1", stranger);
  say(w, "READY=1\n" + std::string(5000, 'x'));
  w.pass(100ms);
  CHECK(health(w) == "starting");
  CHECK(inspected(w).health().notify().refused() == 2);
  say(w, "READY=1", 30000); // Who has ended meanwhile is believed: nobody else reaches the socket.
  w.pass(100ms);
  CHECK(health(w) == "healthy");
  CHECK(inspected(w).health().notify().datagrams() == 1);
  at_the_end(w);
}

TEST_CASE("a flood is read at a bounded pace, and leaves few records", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_socket());
  say(w, "READY=1");
  w.pass(1s);
  const auto before = w.shared().ledger.file().last_seq();
  uint64_t taken = 0;
  for (int i = 0; i < 4000; ++i) { // 4 s
    for (int j = 0; j < 20; ++j)
      taken += say(w, "STATUS=" + std::to_string(i) + "." + std::to_string(j)) == 0;
    w.pass(1ms);
  }
  w.pass(2s);
  CHECK(inspected(w).health().notify().datagrams() == taken + 1); // None is lost …
  CHECK(taken < 20 * 16 + 6 * 20 * 16 + 11);                      // … and not all come in.
  CHECK(w.shared().ledger.file().last_seq() - before < 160);
  CHECK(count_events(w, "notify") == 0);
  at_the_end(w);
}

TEST_CASE("a run that goes on from a checkpoint is ready, as it was", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    done<v1::CreateReply>(w, with_socket());
    say(w, "READY=1");
    w.pass(1s);
    auto c = on<v1::CheckpointRequest>("a");
    c.set_name("one");
    done<v1::CheckpointReply>(w, c);
    w.pass(1s);
    auto s = on<v1::StartRequest>("a");
    s.set_checkpoint("one");
    done<v1::StartReply>(w, s);
    if (d.chance(0.5))
      live_again(w);
    w.pass(100ms);
    CHECK(inspected(w).summary().run() == 2);
    CHECK(inspected(w).summary().ready());
    CHECK(health(w) == "healthy");
    CHECK(count_events(w, "ready") == 2);
    CHECK(say(w, "STATUS=back") == 0);
    w.pass(100ms);
    CHECK(inspected(w).summary().said() == "back");
  }, 5);
}

TEST_CASE("a socket that was lost with the keeper is made anew, where it was", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  done<v1::CreateReply>(w, with_socket());
  const auto serial = process_of(w, "a", "init").serial;
  w.kill();
  w.end_life();
  REQUIRE(w.host.shelf_keeper.shelf.erase({actors::shelf_notify, serial}) == 1);
  REQUIRE(w.begin_life());
  CHECK(health(w) == "starting");
  CHECK(say(w, "READY=1") == 0);
  w.pass(100ms);
  CHECK(health(w) == "healthy");
  live_again(w);
  CHECK(health(w) == "healthy");
  at_the_end(w);
}

TEST_CASE("no word is lost, in whichever moment of hearing it the supervisor dies", "[sim]") {
  for (uint64_t moment = 60; moment < 460; ++moment) {
    INFO("killed at call " << moment);
    world w({});
    REQUIRE(w.begin_life());
    done<v1::CreateReply>(w, with_socket());
    const auto path = socket_of(w);
    const auto pid = process_of(w, "a", "init").pid;
    w.kill();
    w.end_life();
    for (const char* words : {"STATUS=loading", "READY=1", "RELOADING=1", "READY=1\nSTATUS=up"})
      REQUIRE(w.host.send(path, words, pid) == 0);
    if (w.begin_life(moment)) {
      w.pass(20ms);
      w.end_life();
    }
    REQUIRE(w.begin_life());
    w.pass(100ms);
    CHECK(inspected(w).summary().ready());
    CHECK(inspected(w).summary().said() == "up");
    CHECK(count_events(w, "ready") == 1);
    CHECK(count_events(w, "notify") == 2); // It reloads, and has reloaded.
    CHECK(events_of(w, "health").size() == 1);
  }
}
