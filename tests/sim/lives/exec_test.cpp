// Execs with a limit, with a caller that leaves, with children of their own; and what the one
// call that does it all gives back.

#include <csignal>

#include "tests/sim/lives/scenario.hpp"

using namespace gantry;
using namespace gantry::sim;
using namespace std::chrono_literals;

namespace {

/// Living processes of a container, init left out.
size_t living_execs(world& w, const std::string& id) {
  return w.host.groups.members("/gantry/default/" + id).size() - 1;
}

} // namespace

TEST_CASE("an exec whose time is over is killed with all that it started", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    must_run(w, "a", {"work"});
    auto r = exec("a", {"work", "child", "ignore-term"});
    r.mutable_spec()->set_timeout_ns(ns_of(200ms));
    done<v1::ExecReply>(w, r);
    CHECK(living_execs(w, "a") == 2);
    if (d.chance(0.6)) {
      w.pass(d.between(0ms, 210ms)); // Before it, or right behind the record of the kill.
      live_again(w);
    }
    const auto end = done<v1::WaitReply>(w, wait_for("a", "x")).exit();
    CHECK(end.signal() == SIGKILL);
    CHECK(end.ended_by() == "timeout");
    CHECK_FALSE(end.oom());
    CHECK(end.cpu_ns() > 0);
    CHECK(end.max_rss_bytes() > 0);
    w.pass(1s);
    CHECK(living_execs(w, "a") == 0);
    CHECK(count_events(w, "exit", "x") == 1);
    // Its cgroup goes with it, in every hierarchy.
    for (const auto& path : w.host.groups.paths())
      CHECK(path.find("/exec-") == std::string::npos);
  });
}

TEST_CASE("an exec that ends in time is not killed afterwards", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work"});
  auto r = exec("a", {"work", "after=5ms", "exit=4"});
  r.mutable_spec()->set_timeout_ns(ns_of(1s));
  done<v1::ExecReply>(w, r);
  const auto end = done<v1::WaitReply>(w, wait_for("a", "x")).exit();
  CHECK(end.exit_code() == 4);
  CHECK(end.ended_by().empty());
  w.pass(5s);
  CHECK(count_events(w, "kill", "x") == 0);
  at_the_end(w);
}

TEST_CASE("a caller that leaves takes its exec along, if that was asked for", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    const auto policy = d.chance(0.3) ? v1::KEEP : d.chance(0.5) ? v1::TERM : v1::KILL;
    const bool stubborn = d.chance(0.3);
    must_run(w, "a", {"work"});
    auto r = exec("a", {"work", stubborn ? "ignore-term" : "term=9"});
    r.mutable_spec()->set_on_disconnect(policy);
    done<v1::ExecReply>(w, r);
    auto hold = wait_for("a", "x");
    hold.set_hold(true);
    auto ignore = [](result<v1::WaitReply>) {};
    auto one = w.door().wait(w.by(), hold, ignore);
    auto two = w.door().wait(w.by(), hold, ignore);
    one.reset();
    w.pass(20s); // Somebody still holds it.
    CHECK(process_of(w, "a", "x").phase == runtime::process_view::phase_t::running);
    const bool crash = d.chance(0.5);
    if (crash)
      live_again(w); // The calls broke, and nobody comes back.
    else
      two.reset();
    w.pass(11s + (stubborn ? 11s : 0s));
    const auto p = process_of(w, "a", "x");
    if (policy == v1::KEEP) {
      CHECK_FALSE(p.exit);
      return;
    }
    REQUIRE(p.exit);
    CHECK(p.exit->ended_by() == "disconnect");
    if (policy == v1::KILL || stubborn)
      CHECK(p.exit->signal() == SIGKILL);
    else
      CHECK(p.exit->exit_code() == 9);
  }, 20);
}

TEST_CASE("an exec whose caller never came to hold it is ended", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work"});
  auto r = exec("a", {"work"});
  r.mutable_spec()->set_on_disconnect(v1::KILL);
  done<v1::ExecReply>(w, r);
  w.pass(9s);
  CHECK_FALSE(process_of(w, "a", "x").exit);
  w.pass(2s);
  REQUIRE(process_of(w, "a", "x").exit);
  CHECK(process_of(w, "a", "x").exit->ended_by() == "disconnect");
  at_the_end(w);
}

TEST_CASE("a supervisor that goes in good order ends no exec", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work"});
  auto r = exec("a", {"work"});
  r.mutable_spec()->set_on_disconnect(v1::KILL);
  done<v1::ExecReply>(w, r);
  auto hold = wait_for("a", "x");
  hold.set_hold(true);
  auto held = w.door().wait(w.by(), hold, [](result<v1::WaitReply>) {});
  w.pass(1s);
  w.shared().holds.close(); // What supervisor_host::going_away does.
  held.reset();
  w.pass(1s);
  CHECK_FALSE(process_of(w, "a", "x").exit);
  w.end_life();
  REQUIRE(w.begin_life());
  w.pass(9s);
  CHECK_FALSE(process_of(w, "a", "x").exit); // Its caller has time to come back.
  at_the_end(w);
}

TEST_CASE("a kill of the tree reaches what outlived the exec", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    must_run(w, "a", {"work"});
    done<v1::ExecReply>(w, exec("a", {"work", "child", "after=5ms"}));
    CHECK(done<v1::WaitReply>(w, wait_for("a", "x")).exit().io_open());
    w.pass(d.between(0ms, 50ms));
    if (d.chance(0.3))
      live_again(w);
    CHECK(living_execs(w, "a") == 1);
    auto r = on<v1::KillRequest>("a");
    r.set_process("x");
    r.set_tree(true);
    r.set_signal(d.chance(0.5) ? "KILL" : "TERM");
    done<v1::KillReply>(w, r);
    w.pass(1s);
    CHECK(living_execs(w, "a") == 0);
    CHECK_FALSE(process_of(w, "a", "x").io_open());
    CHECK_FALSE(w.must<v1::KillReply>(r).ok()); // Nobody is left.
    CHECK(w.list().containers(0).state() == v1::RUNNING);
  }, 20);
}

TEST_CASE("an exec is remembered as long as it was asked for", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work"});
  for (const auto* name : {"short", "long"}) {
    auto r = exec("a", {"work", "out=100", "after=5ms"}, name);
    r.mutable_spec()->set_ttl_ns(ns_of(name[0] == 's' ? 20s : 3h));
    done<v1::ExecReply>(w, r);
    done<v1::WaitReply>(w, wait_for("a", name));
  }
  w.pass(15s);
  CHECK(w.must<v1::WaitReply>(wait_for("a", "short")).ok());
  live_again(w);
  w.pass(10s);
  CHECK_FALSE(w.must<v1::WaitReply>(wait_for("a", "short")).ok());
  auto list = on<v1::ListProcessesRequest>("a");
  CHECK(done<v1::ListProcessesReply>(w, list).processes_size() == 1);
  list.set_all(true);
  CHECK(done<v1::ListProcessesReply>(w, list).processes_size() == 2);
  w.pass(2h);
  CHECK(w.must<v1::WaitReply>(wait_for("a", "long")).ok());
  w.pass(2h);
  CHECK_FALSE(w.must<v1::WaitReply>(wait_for("a", "long")).ok());
  at_the_end(w);
}

namespace {

struct sync_call {
  std::shared_ptr<std::optional<result<v1::ExecSyncReply>>> got =
    std::make_shared<std::optional<result<v1::ExecSyncReply>>>();
  std::unique_ptr<actors::pending_wait> held;
};

sync_call begin_sync(world& w, const v1::ExecSyncRequest& r) {
  sync_call c;
  c.held = w.door().exec_sync(w.by(), r, [got = c.got](result<v1::ExecSyncReply> x) {
    *got = std::move(x);
  });
  return c;
}

v1::ExecSyncRequest sync(const std::string& id, const std::vector<std::string>& args) {
  auto r = on<v1::ExecSyncRequest>(id);
  for (const auto& a : args)
    r.mutable_spec()->add_args(a);
  r.set_request_id("sync-1");
  return r;
}

} // namespace

TEST_CASE("one call runs, waits and gives the two ends of the output", "[sim]") {
  in_many_worlds([](world& w, dice& d) {
    must_run(w, "a", {"work"});
    const bool small = d.chance(0.3);
    auto r = sync("a", {"work", small ? "out=900" : "out=20000", "err=50", "after=5ms", "exit=6",
                        "child"});
    r.set_head_bytes(1000);
    r.set_tail_bytes(2000);
    auto c = begin_sync(w, r);
    if (d.chance(0.5)) {
      w.pass(d.between(0ms, 80ms));
      w.kill();
      c.held.reset();
      w.end_life();
      REQUIRE(w.begin_life());
      c = begin_sync(w, r); // As a client does: with the same request id.
    }
    REQUIRE(w.until([&] { return c.got->has_value(); }, 2min));
    INFO((c.got->value().ok() ? "" : c.got->value().why().text()));
    REQUIRE(c.got->value().ok());
    const auto& x = *c.got->value();
    CHECK(x.exit().exit_code() == 6);
    CHECK(x.exit().io_open()); // The child does not hold it back.
    std::string out;
    for (const auto& p : w.host.history())
      if (p->pid == x.pid())
        out = p->streams[1]->taken_in;
    const auto& o = x.stdout();
    CHECK(o.total_bytes() == (small ? 900 : 20000));
    CHECK(o.omitted_bytes() == (small ? 0 : 17000));
    if (small) {
      CHECK(o.head() + o.tail() == out);
    } else {
      CHECK(o.head() == out.substr(0, 1000));
      CHECK(o.tail() == out.substr(out.size() - 2000));
    }
    CHECK(x.stderr().head().size() == 50);
    size_t ran = 0;
    for (const auto& e : w.events())
      ran += e.type() == "exec-started";
    CHECK(ran == 1);
  });
}

TEST_CASE("the one call ends its exec when its client leaves, if that was asked for", "[sim]") {
  world w({});
  REQUIRE(w.begin_life());
  must_run(w, "a", {"work"});
  auto r = sync("a", {"work"});
  r.set_process("x");
  r.mutable_spec()->set_on_disconnect(v1::KILL);
  auto c = begin_sync(w, r);
  w.pass(20s);
  CHECK_FALSE(process_of(w, "a", "x").exit);
  c.held.reset();
  w.pass(1s);
  REQUIRE(process_of(w, "a", "x").exit);
  CHECK(process_of(w, "a", "x").exit->ended_by() == "disconnect");
  CHECK_FALSE(c.got->has_value());
  r.set_head_bytes((1 << 20) + 1);
  r.set_request_id("");
  auto too_much = begin_sync(w, r);
  w.pass(10ms);
  REQUIRE(too_much.got->has_value());
  CHECK(too_much.got->value().why().code == ec::invalid_argument);
  at_the_end(w);
}
