#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "tests/library/rig.hpp"

using namespace gantry;
using namespace gantry::testing;

namespace {

/// All events of one container, kept as they come.
class ear {
public:
  ear(supervisor& s, const std::string& id) {
    subscribe_options how;
    how.containers = {id};
    how.since = event_cursor{};
    sub_ = s.subscribe(how, [this](const event& e) -> result<void> {
      std::lock_guard guard(lock_);
      all_.push_back(e);
      more_.notify_all();
      return {};
    });
  }
  ~ear() { sub_.stop(); }
  ear(const ear&) = delete;
  ear& operator=(const ear&) = delete;

  /// The first event for which this holds.
  template <class Holds>
  event find(Holds holds) {
    std::unique_lock guard(lock_);
    const auto found = [&] { return std::find_if(all_.begin(), all_.end(), holds); };
    const bool came = more_.wait_for(guard, 60s, [&] { return found() != all_.end(); });
    REQUIRE(came);
    return *found();
  }
  event first(const std::string& type) {
    return find([&](const event& e) { return e.type == type; });
  }
  event turned(const std::string& status, uint32_t run = 1) {
    return find([&](const event& e) {
      return e.type == "health" && e.run >= run && e.details.at("new") == status;
    });
  }

private:
  std::mutex lock_;
  std::condition_variable more_;
  std::vector<event> all_;
  subscription sub_;
};

/// It is well while there is no file /tmp/sick in its (shared, read-write) root.
health_check looks() {
  health_check out;
  out.probes = {{.args = {"echo looked; test ! -e /tmp/sick"},
                 .shell = true,
                 .interval = 100ms,
                 .timeout = 10s,
                 .failures = 2}};
  out.history = 3;
  return out;
}

} // namespace

TEST_CASE("library: what is unhealthy is restarted by its policy, and evidence is kept",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    ear hears(s, "a");
    auto req = r.run("a", {"/bin/sh", "-c", "echo begun; exec sleep 1000"});
    req.spec.health = looks();
    req.spec.health->on_unhealthy = "restart";
    req.spec.restart
      = restart_policy{.when = "on-failure", .retries = 9, .delay = 50ms, .reset_after = 1h};
    const auto made = got(s.create(req));
    INFO((made ? "" : made.why().text()));
    REQUIRE(made.ok());
    hears.turned("healthy");
    const auto well = got(s.inspect("a"));
    REQUIRE(well.ok());
    REQUIRE(well->health);
    CHECK(well->health->status == "healthy");
    CHECK(well->health->ready);
    CHECK(well->health->profile == "docker-current");
    CHECK(well->health->on_unhealthy == "restart");
    CHECK_FALSE(well->health->notify);
    CHECK_FALSE(well->summary.restart);
    REQUIRE(well->health->probes.size() == 1);
    const auto& asked = well->health->probes.front();
    CHECK(asked.role == "check");
    CHECK(asked.what.find("looked") != std::string::npos);
    REQUIRE_FALSE(asked.results.empty());
    const auto& last = asked.results.back();
    CHECK(last.result == "passed");
    CHECK(last.exit_code == 0);
    CHECK(last.output == "looked\n");
    CHECK(last.began > well->summary.created);
    CHECK(last.ended >= last.began);

    std::ofstream(r.rootfs + "/tmp/sick") << "x";
    const auto ill = hears.turned("unhealthy");
    fs::remove(r.rootfs + "/tmp/sick");
    CHECK(ill.details.at("old") == "healthy");
    CHECK(ill.details.at("result") == "failed");
    CHECK(ill.details.at("exit_code") == "1");
    CHECK(hears.first("restart-scheduled").details.at("reason") == "unhealthy");
    const auto taken = hears.first("evidence");
    hears.turned("healthy", 2);
    const auto again = got(s.inspect("a"));
    REQUIRE(again.ok());
    REQUIRE(again->summary.restart);
    CHECK(again->summary.run >= 2);
    CHECK(again->summary.restart->attempt >= 1);
    CHECK(again->summary.restart->total >= 1);
    CHECK(again->summary.restart->of == 9);
    CHECK(again->summary.restart->reason == "unhealthy");
    CHECK(again->summary.restart->next == moment{});
    REQUIRE(again->health);
    REQUIRE_FALSE(again->health->evidence.empty());
    const auto number = again->health->evidence.front().number;
    CHECK(std::to_string(number) == taken.details.at("number"));
    const auto kept = got(s.read_evidence("a", number));
    REQUIRE(kept.ok());
    CHECK(kept->kept.run == 1);
    CHECK(kept->kept.reason.find("unhealthy") != std::string::npos);
    CHECK(kept->kept.taken > well->summary.created);
    CHECK(kept->log.find("begun") != std::string::npos);
    REQUIRE_FALSE(kept->processes.empty());
    CHECK(kept->processes.front().process == "init");
    CHECK_FALSE(kept->cgroup.empty());
    CHECK(got(s.read_evidence("a"))->kept.number >= number);
    CHECK(got(s.read_evidence("a", 999999)).why().code == ec::not_found);
  });
}

TEST_CASE("library: a probe runs when it is asked", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sleep", "1000"});
    req.spec.health = looks();
    req.spec.health->probes.front().interval = 1h;
    req.spec.health->probes.front().failures = 1;
    REQUIRE(got(s.create(req)).ok());
    const auto well = got(s.run_probe("a"));
    INFO((well ? "" : well.why().text()));
    REQUIRE(well.ok());
    CHECK(well->result.result == "passed");
    CHECK(well->health.status == "healthy");
    std::ofstream(r.rootfs + "/tmp/sick") << "x";
    const auto ill = got(s.run_probe("a", "check"));
    REQUIRE(ill.ok());
    CHECK(ill->result.result == "failed");
    CHECK(ill->result.exit_code == 1);
    CHECK(ill->result.output == "looked\n");
    CHECK(ill->health.status == "unhealthy");
    CHECK(ill->health.probes.at(0).results.size() == 2);
    CHECK(got(s.run_probe("a", "liveness")).why().code == ec::not_found);
    REQUIRE(got(s.pause("a")).ok());
    CHECK(got(s.run_probe("a")).why().code == ec::wrong_state);
    CHECK(got(s.run_probe("none")).why().code == ec::not_found);
  });
}

TEST_CASE("library: policies are changed while it runs", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    ear hears(s, "a");
    auto req = r.run("a", {"/bin/sh", "-c", "read x; exit 3"});
    req.spec.with_stdin = true;
    REQUIRE(got(s.create(req)).ok());
    CHECK_FALSE(got(s.inspect("a"))->health);
    update_request change{.ref = "a"};
    change.restart = restart_policy{.when = "sometimes"};
    CHECK(got(s.update(change)).why().code == ec::invalid_argument);
    change.restart = restart_policy{.when = "always", .delay = 1h, .delay_max = 1h};
    change.health = looks();
    change.limits.pids = 77;
    const auto changed = got(s.update(change));
    INFO((changed ? "" : changed.why().text()));
    REQUIRE(changed.ok());
    CHECK(hears.first("updated").details.at("restart").find("always") != std::string::npos);
    CHECK(got(s.usage("a"))->front().pids_limit == 77);
    hears.turned("healthy");
    REQUIRE(got(s.update({.ref = "a", .health = health_check{}})).ok()); // Switched off.
    CHECK_FALSE(got(s.inspect("a"))->health);
    REQUIRE(got(s.close_stdin("a")).ok());
    hears.first("restart-scheduled");
    const auto ended = got(s.inspect("a"));
    REQUIRE(ended.ok());
    CHECK(ended->summary.state == container_state::restarting);
    REQUIRE(ended->summary.restart);
    CHECK(ended->summary.restart->next > ended->summary.exit->at + 30min);
    REQUIRE(got(s.stop({.ref = "a"})).ok());
    CHECK(got(s.inspect("a"))->summary.state == container_state::stopped);
  });
}

TEST_CASE("library: a run that takes too long, and thresholds of pressure",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    ear hears(s, "a");
    auto req = r.run("a", {"/bin/sleep", "1000"});
    req.spec.max_run = 300ms;
    req.spec.restart
      = restart_policy{.when = "on-failure", .delay = 1ms, .rules = {"overtime:dead"}};
    REQUIRE(got(s.create(req)).ok());
    CHECK(hears.first("kill").details.at("reason") == "max-run-time");
    hears.first("dead");
    CHECK(got(s.inspect("a"))->summary.state == container_state::dead);

    ear starves(s, "b");
    req = r.run("b", {"/bin/sh", "-c", "while :; do :; done & while :; do :; done"});
    req.spec.limits.cpus = 0.2;
    req.spec.oom_policy = "kill_group";
    req.spec.pressure = {"cpu:some:100ms/2s", "memory.high"};
    req.spec.pressure_policy = "report";
    REQUIRE(got(s.create(req)).ok());
    auto seen = got(s.inspect("b"));
    REQUIRE(seen.ok());
    REQUIRE(seen->pressure.size() == 2);
    CHECK(seen->pressure[1].threshold == "memory.high");
    if (seen->pressure[0].unsupported.empty()) {
      CHECK(starves.first("pressure").details.at("threshold") == "cpu:some:100ms/2s");
      seen = got(s.inspect("b"));
      CHECK(seen->pressure[0].crossed >= 1);
      CHECK(seen->pressure[0].last > seen->summary.started);
    } else {
      CHECK(seen->pressure[0].unsupported.find("cgroup") != std::string::npos);
    }
    const auto ouija = [](container_spec& x) {
      x.health = health_check{.probes = {{.kind = "ouija"}}};
    };
    for (auto spoil : {+ouija, +[](container_spec& x) { x.oom_policy = "explode"; },
                       +[](container_spec& x) { x.max_run = -1s; },
                       +[](container_spec& x) { x.pressure = {"memory:most:1s/2s"}; },
                       +[](container_spec& x) { x.pressure_policy = "sigh"; }}) {
      auto bad = r.run("c", {"/bin/true"});
      spoil(bad.spec);
      CHECK(got(s.create(bad)).why().code == ec::invalid_argument);
    }
  });
}
