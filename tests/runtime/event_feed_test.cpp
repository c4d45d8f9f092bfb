#include "tests/runtime/ledger_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;
using strings = std::vector<std::string>;

namespace {

v1::FollowRequest following(bool list = false) {
  v1::FollowRequest req;
  req.set_follow(true);
  req.set_list(list);
  return req;
}

} // namespace

TEST_CASE("event feed: from now on, a follower hears each public event once, in order",
          "[uring]") {
  ledger_host x;
  x.run("old");
  event_feed f(*x.l, following());
  auto seq = x.run("web");
  auto items = x.next(f);
  REQUIRE(items.ok());
  CHECK(types_of(*items) == strings{"create", "start"});
  CHECK(items->back().event().seq() == seq);
  CHECK(items->back().event().epoch() == 1);

  std::optional<result<ledger_host::items>> got;
  f.next(1 << 20, [&](auto r) { got = std::move(r); });
  REQUIRE(x.h.until([&] { return x.h.loop->in_flight() == 0; }));
  CHECK_FALSE(got.has_value()); // It waits.
  x.exit("web", 3);
  REQUIRE(x.h.until([&] { return got.has_value(); }));
  REQUIRE(types_of(**got) == strings{"exit"}); // Died is private.
  CHECK((*got)->front().event().exit().exit_code() == 3);
  CHECK((*got)->front().event().exit().seq() == (*got)->front().event().seq());
}

TEST_CASE("event feed: list and follow are one moment", "[uring]") {
  ledger_host x;
  x.run("b");
  x.run("a");
  event_feed f(*x.l, following(true));
  x.run("c"); // Before the first `next`: in the list, and no event.
  ledger_host::items all;
  auto collect = [&all](result<ledger_host::items> r) {
    REQUIRE(r.ok());
    all.insert(all.end(), r->begin(), r->end());
  };
  f.next(1, collect);
  x.exit("b"); // After it: the list is that of before, and the event comes.
  REQUIRE(x.h.until([&] { return !all.empty(); }));
  while (types_of(all).back() != "exit")
    collect(x.next(f, 1));
  CHECK(types_of(all) == strings{"container:a", "container:b", "container:c", "listed", "exit"});
  CHECK(all[1].container().state() == v1::RUNNING);
  CHECK(all[3].listed().seq() + 2 == all[4].event().seq());
}

TEST_CASE("event feed: without follow it ends, whatever the size of the pieces", "[uring]") {
  ledger_host x;
  x.run("web");
  x.exit("web");
  x.remove("web");
  CHECK(types_of(x.all_since(0, 0)) == strings{"create", "start", "exit", "delete"});
  CHECK(types_of(x.all_since(1, 3)) == strings{"exit", "delete"});
  CHECK(x.all_since(1, x.l->file().last_seq()).empty());
  CHECK(x.l->gaps() == 0);
}

TEST_CASE("event feed: after a restart the same events come from the files", "[uring]") {
  ledger_host x;
  for (int i = 0; i < 30; ++i) {
    x.run("c" + std::to_string(i));
    x.exit("c" + std::to_string(i));
  }
  auto before = x.all_since(0, 0);
  x.stop();
  x.start();
  x.run("late");
  auto after = x.all_since(0, 0);
  REQUIRE(after.size() == before.size() + 2);
  for (size_t i = 0; i < before.size(); ++i)
    REQUIRE(before[i].SerializeAsString() == after[i].SerializeAsString());
  CHECK(x.l->gaps() == 0);
}

TEST_CASE("event feed: a cursor of the future is refused", "[uring]") {
  ledger_host x;
  x.run("web");
  for (auto [epoch, seq] : {std::pair<uint64_t, uint64_t>{1, 1000}, {2, 1}}) {
    v1::FollowRequest req = following();
    req.mutable_since()->set_epoch(epoch);
    req.mutable_since()->set_seq(seq);
    event_feed f(*x.l, req);
    auto got = x.next(f);
    REQUIRE_FALSE(got.ok());
    CHECK(got.why().code == ec::invalid_argument);
  }
}

TEST_CASE("event feed: a cursor older than what is kept gets one gap, then all that is kept",
          "[uring]") {
  journal_policy policy;
  policy.segment_bytes = 2000;
  policy.keep_bytes = 1;
  ledger_host x(policy);
  auto fill = [&](int n) {
    for (int i = 0; i < n; ++i) {
      auto r = x.base("x" + std::to_string(i));
      r.mutable_paused();
      x.l->record(r);
      if (i % 10 == 0)
        REQUIRE(wait_durable(x.h, x.l->file()).ok());
    }
  };
  while (x.l->file().first_kept_seq() == 1)
    fill(50);
  x.stop();
  x.start(); // So that not everything is in memory.
  auto kept = x.l->file().first_kept_seq();
  auto items = x.all_since(1, 2);
  REQUIRE(items.size() == x.l->file().last_seq() - kept + 2);
  const auto& gap = items.front().event();
  CHECK(gap.type() == "gap");
  CHECK(gap.details().at("from") == "3");
  CHECK(gap.details().at("to") == std::to_string(kept - 1));
  CHECK_FALSE(gap.details().at("reason").empty());
  CHECK(gap.seq() == kept - 1);
  CHECK(items[1].event().seq() == kept);
  CHECK(x.l->gaps() == 1);
  auto all = x.all_since(0, 0); // "All that is kept" is no loss.
  CHECK(all.size() == items.size() - 1);
  CHECK(x.l->gaps() == 1);
}

TEST_CASE("event feed: a cursor of an earlier boot gets a gap, then everything behind it",
          "[uring]") {
  ledger_host x;
  x.run("web");
  auto old_last = x.l->file().last_seq();
  x.stop();
  x.memory = std::make_unique<arena_memory>();
  x.boot = "boot-2";
  x.start();
  REQUIRE(x.report.new_epoch);
  x.run("new");
  auto items = x.all_since(1, old_last + 5); // It had seen what the power cut took.
  CHECK(types_of(items) == strings{"gap", "create", "start"});
  CHECK(items[1].event().seq() == old_last + 2);
  CHECK(items[1].event().epoch() == 2);
  auto earlier = x.all_since(1, 2);
  CHECK(types_of(earlier) == strings{"gap", "start", "create", "start"});
  CHECK(x.l->gaps() == 2);
}

TEST_CASE("event feed: filters by name, type and label; a gap passes them all", "[uring]") {
  ledger_host x;
  x.run("a", "shop");
  x.run("b", "till");
  x.exit("a");
  x.remove("a");
  journal::Record gap;
  gap.mutable_gap()->set_reason("test");
  x.l->record(gap);
  journal::Record born;
  born.mutable_supervisor_started();
  x.l->record(born);
  v1::EventFilter f;
  f.add_containers("b");
  CHECK(types_of(x.all_since(0, 0, f)) == strings{"create", "start", "gap"});
  f.Clear();
  f.add_types("exit");
  CHECK(types_of(x.all_since(0, 0, f)) == strings{"exit", "gap"});
  f.Clear();
  (*f.mutable_labels())["app"] = "shop"; // Also those of the container that is gone.
  CHECK(types_of(x.all_since(0, 0, f)) == strings{"create", "start", "exit", "delete", "gap"});
  f.Clear();
  f.set_namespace_("other");
  CHECK(types_of(x.all_since(0, 0, f)) == strings{"gap", "supervisor-started"});
}

TEST_CASE("event feed: a reader far behind the memory loses nothing", "[uring]") {
  ledger_host x;
  v1::FollowRequest req = following();
  event_feed f(*x.l, req);
  constexpr uint64_t n = 6000; // More than is kept in memory.
  for (uint64_t i = 1; i <= n; ++i) {
    auto r = x.base("c");
    r.mutable_paused();
    x.l->record(r);
    if (i % 500 == 0)
      REQUIRE(wait_durable(x.h, x.l->file()).ok());
  }
  uint64_t seen = 0;
  while (seen < n) {
    auto items = x.next(f, 5000);
    REQUIRE(items.ok());
    for (const auto& i : *items)
      REQUIRE(i.event().seq() == ++seen);
  }
  CHECK(x.l->gaps() == 0);
}

TEST_CASE("event feed: one that goes while a read is under way is not called", "[uring]") {
  ledger_host x;
  x.run("web");
  x.stop();
  x.start();
  bool called = false;
  {
    v1::FollowRequest req;
    req.mutable_since();
    event_feed f(*x.l, req);
    f.next(100, [&](const auto&) { called = true; });
    x.h.loop->turn(false);
    x.h.loop->turn(false);
  }
  REQUIRE(x.h.until([&] { return x.h.loop->in_flight() == 0; }));
  CHECK_FALSE(called);
}

TEST_CASE("events: every public record has the name that the bus promises", "[uring]") {
  const std::map<std::string, std::string> names = {
    {"exec_adding", "exec-added"},   {"created", "create"},
    {"started", "start"},            {"create_failed", "create-failed"},
    {"start_failed", "start-failed"}, {"exec_started", "exec-started"},
    {"exec_failed", "exec-failed"},  {"exited", "exit"},
    {"oom", "oom"},                  {"paused", "paused"},
    {"resumed", "resumed"},          {"killed", "kill"},
    {"updated", "updated"},          {"deleted", "delete"},
    {"restored", "restored"},        {"log_blocked", "log-unblocked"},
    {"log_gap", "log-gap"},          {"log_dropped", "log-dropped"},
    {"log_reopened", "log-reopened"}, {"output_gap", "output-gap"},
    {"output_closed", "output-closed"}, {"restart_scheduled", "restart-scheduled"},
    {"restart_cancelled", "restart-cancelled"}, {"given_up", "dead"},
    {"checkpointed", "checkpointed"}, {"checkpoint_failed", "checkpoint-failed"},
    {"checkpoint_removed", "checkpoint-removed"},
    {"supervisor_started", "supervisor-started"},
    {"supervisor_stopping", "supervisor-stopping"},
    {"evidence_taken", "evidence"},  {"health_action", "health-action"},
    {"waiting", "waiting"},          {"hook_ended", "hook"},
    {"pressure", "pressure"},
    {"keeper_lost", "keeper-lost"},
    {"gap", "gap"},
  };
  const auto* body = journal::Record::descriptor()->FindOneofByName("body");
  for (int i = 0; i < body->field_count(); ++i) {
    journal::Record r;
    r.GetReflection()->MutableMessage(&r, body->field(i));
    auto e = event_of(r);
    auto known = names.find(body->field(i)->name());
    INFO(body->field(i)->name());
    REQUIRE(e.has_value() == (known != names.end()));
    if (e)
      CHECK(e->type() == known->second);
  }
  journal::Record later; // What a later version may add: a field that this one does not know.
  REQUIRE(later.ParseFromString(std::string("\xa2\x3f\0", 3)));
  REQUIRE(event_of(later).has_value());
  CHECK(event_of(later)->type() == "unknown");
  journal::Record r;
  r.mutable_updated()->mutable_resources()->set_memory_bytes(-1);
  r.mutable_by()->set_uid(7);
  auto e = event_of(r);
  CHECK(e->details().at("memory_bytes") == "-1");
  CHECK(e->details().size() == 1);
  CHECK(e->by().uid() == 7);
}

TEST_CASE("event feed: runs of probes are told to who names them, kept and new, once", "[uring]") {
  ledger_host x;
  x.run("web");
  const auto probed = [&x](const std::string& to) {
    auto r = x.base("web");
    r.mutable_probe_ended()->set_from("healthy");
    r.mutable_probe_ended()->set_to(to);
    return x.l->record(r);
  };
  probed("healthy");
  auto all = following();
  all.mutable_since();
  event_feed usual(*x.l, all);
  auto named = all;
  for (const auto* type : {"probe", "health", "exit"})
    named.mutable_filter()->add_types(type);
  event_feed eager(*x.l, named);
  CHECK(types_of(*x.next(usual)) == strings{"create", "start"});
  CHECK(types_of(*x.next(eager)) == strings{"probe"});

  std::optional<result<ledger_host::items>> got;
  eager.next(1 << 20, [&](auto r) { got = std::move(r); });
  REQUIRE(x.h.until([&] { return x.h.loop->in_flight() == 0; }));
  CHECK_FALSE(got.has_value()); // It waits.
  const auto seq = probed("healthy");
  REQUIRE(x.h.until([&] { return got.has_value(); }));
  REQUIRE(types_of(**got) == strings{"probe"});
  CHECK((*got)->front().event().seq() == seq);
  probed("unhealthy");
  x.exit("web");
  strings seen;
  while (seen.size() < 2)
    for (auto& type : types_of(*x.next(eager)))
      seen.push_back(std::move(type));
  CHECK(seen == strings{"health", "exit"});
  CHECK(types_of(*x.next(usual)) == strings{"health", "exit"});

  named.set_follow(false); // What is kept, and then the end.
  event_feed once(*x.l, named);
  CHECK(types_of(*x.next(once)) == strings{"probe", "probe", "health", "exit"});
  CHECK(types_of(*x.next(once)).empty());
}

TEST_CASE("event feed: who does not follow is not told of what comes meanwhile", "[uring]") {
  ledger_host x;
  x.run("web");
  const auto probed = [&x] {
    auto r = x.base("web");
    r.mutable_probe_ended()->set_from("healthy");
    r.mutable_probe_ended()->set_to("healthy");
    x.l->record(r);
  };
  v1::FollowRequest all;
  all.mutable_since();
  for (const auto named : {false, true}) {
    if (named)
      for (const auto* type : {"probe", "create", "start", "exit"})
        all.mutable_filter()->add_types(type);
    event_feed f(*x.l, all);
    strings seen;
    for (bool more = true; more;) { // A piece, and something new behind each.
      const auto types = types_of(*x.next(f, 1));
      more = !types.empty();
      seen.insert(seen.end(), types.begin(), types.end());
      REQUIRE(seen.size() < 20);
      probed();
      x.run("n" + std::to_string(seen.size()) + (named ? "b" : "a"));
    }
    CHECK(std::count(seen.begin(), seen.end(), "create") == (named ? 4 : 1));
    CHECK(std::count(seen.begin(), seen.end(), "probe") == (named ? 3 : 0));
  }
}
