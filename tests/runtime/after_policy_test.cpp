#include "runtime/after_policy.hpp"

#include <catch2/catch.hpp>
#include <map>

#include "runtime/after_messages.hpp"
#include "world_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

using is = after_verdict::what;
using stage = dependency::stage;

dependency at(stage where, const std::string& words = "is there") {
  dependency out;
  out.where = where;
  out.words = words;
  return out;
}

after_verdict judged(after_when when, const dependency& d, int64_t since = 100) {
  return judge_after({"db", when}, d, since);
}

} // namespace

TEST_CASE("after: started holds while the other one is up, or was since the wait began") {
  CHECK(judged(after_when::started, at(stage::up)).is == is::met);
  CHECK(judged(after_when::started, at(stage::coming)).is == is::waits);
  CHECK(judged(after_when::started, at(stage::ending)).is == is::waits);
  CHECK(judged(after_when::started, at(stage::missing)).is == is::never);
  auto over = at(stage::over, "has ended (exit code 1)");
  over.started_ns = 99;
  const auto v = judged(after_when::started, over);
  CHECK(v.is == is::never);
  CHECK(v.why == "\"db\" has ended (exit code 1), and nothing starts it again");
  over.started_ns = 100; // Quick, and gone again before anybody looked.
  CHECK(judged(after_when::started, over).is == is::met);
}

TEST_CASE("after: healthy and ready ask what the other one says of itself") {
  for (const auto when : {after_when::healthy, after_when::ready}) {
    auto d = at(stage::up);
    CHECK(judged(when, d).is == is::never); // Nothing tells.
    auto& asked = when == after_when::healthy ? d.healthy : d.ready;
    asked = false;
    CHECK(judged(when, d).is == is::waits);
    asked = true;
    CHECK(judged(when, d).is == is::met);
    d.where = stage::coming; // What its last run said does not count.
    CHECK(judged(when, d).is == is::waits);
    d.where = stage::over;
    CHECK(judged(when, d).is == is::never);
    CHECK(judged(when, at(stage::missing, "does not exist")).why == "\"db\" does not exist");
  }
  auto ill = at(stage::up);
  ill.healthy = false;
  ill.health = "unhealthy";
  CHECK(judged(after_when::healthy, ill).why == "\"db\" is not healthy yet (health: unhealthy)");
}

TEST_CASE("after: exited_ok is about the last run") {
  CHECK(judged(after_when::exited_ok, at(stage::up)).is == is::waits);
  CHECK(judged(after_when::exited_ok, at(stage::coming)).is == is::waits);
  auto over = at(stage::over, "has ended (exit code 0)");
  over.ended_ns = 50;
  over.exit_code = 0;
  CHECK(judged(after_when::exited_ok, over).is == is::met);
  over.exit_code = 1;
  CHECK(judged(after_when::exited_ok, over).is == is::never);
  over.exit_code.reset(); // A signal.
  CHECK(judged(after_when::exited_ok, over).is == is::never);
  auto again = at(stage::coming, "has ended (exit code 1) and is to be started again");
  again.ended_ns = 50;
  again.exit_code = 1;
  CHECK(judged(after_when::exited_ok, again).is == is::waits);
  auto removed = at(stage::missing);
  removed.exit_code = 0;
  removed.ended_ns = 99;
  CHECK(judged(after_when::exited_ok, removed).is == is::never);
  removed.ended_ns = 100; // It did its work while this one waited, and went.
  CHECK(judged(after_when::exited_ok, removed).is == is::met);
}

TEST_CASE("after: words come back as they went in, and bad ones are named") {
  for (const char* text : {"db:started", "db:ready", "db:healthy", "db:exited_ok"}) {
    const auto c = parse_after(text);
    REQUIRE(c);
    CHECK(text_of(*c) == text);
  }
  CHECK(text_of(*parse_after("db")) == "db:started");
  for (const char* text : {"db:", "db:running", "db:healthy:x", "db:Healthy"}) {
    INFO(text);
    CHECK_FALSE(parse_after(text));
  }
  CHECK(check_after({{{"db", after_when::started}, {"db", after_when::healthy}}, 5}).ok());
  CHECK_FALSE(check_after({{{"db", after_when::started}, {"db", after_when::started}}, 0}).ok());
  CHECK_FALSE(check_after({{{"../db", after_when::started}}, 0}).ok());
  CHECK_FALSE(check_after({{{"db", after_when::started}}, -1}).ok());
  CHECK_FALSE(check_after({{}, 5}).ok());
  after_policy many;
  for (size_t i = 0; i <= max_after; ++i)
    many.conditions.push_back({"c" + std::to_string(i), after_when::started});
  CHECK_FALSE(check_after(many).ok());
  many.conditions.pop_back();
  CHECK(check_after(many).ok());
}

TEST_CASE("after: a circle is found, however long, and a tree is none") {
  std::map<std::string, std::vector<std::string>> known{{"b", {"c", "d"}}, {"c", {"d"}}, {"d", {}}};
  const auto of = [&known](const std::string& id) { return known[id]; };
  const std::vector<after_condition> after_b{{"b", after_when::started}};
  CHECK(find_circle("a", after_b, of).empty());
  CHECK(find_circle("a", {{"a", after_when::ready}}, of) == std::vector<std::string>{"a", "a"});
  known["d"] = {"a"};
  const auto circle = find_circle("a", after_b, of);
  REQUIRE(circle.size() >= 4);
  CHECK((circle.front() == "a" && circle.back() == "a" && circle[1] == "b"));
  for (int i = 0; i < 10000; ++i)
    known["n" + std::to_string(i)] = {"n" + std::to_string(i + 1)};
  known["n10000"] = {"a"};
  CHECK(find_circle("a", {{"n0", after_when::started}}, of).size() == 10003);
}

TEST_CASE("after: the world tells what is waited for, also after a snapshot") {
  running_web x; // "web" runs and has no health check.
  scribe s = x.s;
  s.container = "app";
  auto c = s.creating(true);
  auto* spec = c.mutable_creating()->mutable_spec();
  spec->add_after()->set_id("web");
  spec->add_after()->set_id("job");
  spec->mutable_after(1)->set_condition("exited_ok");
  spec->set_after_timeout_ns(7);
  x.w.apply(c);
  x.w.apply(s.created(200));
  auto waiting = s.record();
  waiting.set_request_id("q1");
  waiting.mutable_waiting()->set_timeout_ns(7);
  x.w.apply(waiting);
  const container_name app{"default", "app"};
  world again;
  again.load(x.w.save());
  CHECK(same(again.save(), x.w.save()));
  for (const auto* w : {&x.w, &again}) {
    const auto shown = w->summary(*w->find(app));
    CHECK(shown.state() == v1::WAITING);
    REQUIRE(shown.waiting().unmet_size() == 1);
    CHECK(shown.waiting().unmet(0).condition() == "job:exited_ok");
    CHECK(shown.waiting().since_ns() == waiting.time_ns());
    CHECK(shown.waiting().until_ns() == waiting.time_ns() + 7);
    CHECK(w->pending("q1") != nullptr);
    CHECK(w->find(app)->starts_in_steps());
  }
  // Where the kernel does not know its pid any more, it is not up.
  const auto dead = [](int32_t, uint64_t) { return false; };
  CHECK(dependency_of(x.w, web, 0).where == stage::up);
  CHECK(dependency_of(x.w, web, 0, dead).where == stage::ending);
  x.w.apply(s.started(1, 200));
  CHECK(x.w.find(app)->state == v1::RUNNING);
  CHECK_FALSE(x.w.summary(*x.w.find(app)).has_waiting());
}

TEST_CASE("after: a container is checked against those that there are") {
  running_web x;
  v1::ContainerSpec spec;
  auto* after = spec.add_after();
  const auto checked = [&](const std::string& id, bool start = true, bool can_wait = true) {
    return check_dependencies(x.w, {"default", id}, spec, start, can_wait, x.s.now_ns);
  };
  after->set_id("nobody");
  CHECK(checked("app", false).why().code == ec::not_found);
  after->set_id("web");
  CHECK(checked("app").ok());
  CHECK(checked("web").why().message.find("web after web") != std::string::npos);
  after->set_condition("healthy");
  CHECK(checked("app", false).why().message.find("has no health check") != std::string::npos);
  after->set_condition("exited_ok");
  CHECK(checked("app").ok());
  CHECK_FALSE(checked("app", true, false).ok()); // From a checkpoint: it cannot wait.
  x.w.apply(x.s.died("init", 1));
  x.w.apply(x.s.exited("init", 1));
  CHECK_FALSE(checked("app").ok());
  CHECK(checked("app", false).ok()); // Not started yet: who knows.
  after->set_condition("soon");
  CHECK(checked("app").why().code == ec::invalid_argument);
}
