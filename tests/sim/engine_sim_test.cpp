// The engine over the scripted OCI runtime: the same words, files and processes as runc's.

#include <catch2/catch.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "runtime/engine.hpp"
#include "tests/sim/sim_life.hpp"
#include "tests/sim/sim_programs.hpp"
#include "tests/sim/sim_runtime.hpp"

using namespace gantry;
using namespace std::chrono_literals;

namespace {

/// A host with one bundle at /run/b whose init does what the test says.
struct bench {
  explicit bench(std::vector<std::string> args, sim::machine_options o = {})
    : host(o), state(sim::install_runtimes(host)) {
    sim::install_basics(host);
    sim::install_work(host);
    host.files.mkdirs("/run/oci");
    host.files.mkdirs("/run/b");
    const nlohmann::json config{
      {"process", {{"args", args}}},
      {"linux",
       {{"cgroupsPath", "/gantry/default/c"}, {"namespaces", {{{"type", "pid"}}}}}}};
    host.files.put("/run/b/config.json", config.dump());
    here = std::make_unique<sim::life>(host);
    reaper = std::make_unique<io::reaper>(here->loop, here->shelf);
    reaper->start();
    engine = runtime::make_oci_engine(here->loop, *reaper, "/run/oci", {}, [](const std::string&) {
      return std::string("/gantry/default/c");
    });
    null = here->kernel.open("/dev/null", 2, 0);
  }
  ~bench() {
    engine.reset();
    reaper.reset();
    here->kernel.close(null);
    here->bury();
  }

  template <class T, class F>
  result<T> answer(F start) {
    std::optional<result<T>> got;
    start([&](result<T> r) { got = std::move(r); });
    REQUIRE(here->until([&] { return got.has_value(); }, 5min));
    return *std::move(got);
  }
  result<runtime::made_process> create(bool run) {
    return answer<runtime::made_process>([&](auto f) {
      runtime::create_command c;
      c.runtime = "/usr/sbin/runc";
      c.id = "default.c";
      c.bundle = "/run/b";
      c.stdio = {null, null, null};
      c.run = run;
      c.op = 1;
      engine->create(std::move(c), f);
    });
  }
  result<void> start() {
    return answer<void>(
      [&](auto f) { engine->start("/usr/sbin/runc", "default.c", "/run/b", 2, f); });
  }
  result<runtime::made_process> exec(const std::vector<std::string>& args) {
    const nlohmann::json spec{{"args", args}};
    return answer<runtime::made_process>([&](auto f) {
      runtime::exec_command c;
      c.runtime = "/usr/sbin/runc";
      c.id = "default.c";
      c.process_json = spec.dump();
      c.dir = "/run/b";
      c.name = "e1";
      c.stdio = {null, null, null};
      c.op = 3;
      engine->exec(std::move(c), f);
    });
  }
  result<void> remove(bool force) {
    return answer<void>(
      [&](auto f) { engine->remove("/usr/sbin/runc", "default.c", force, 4, f); });
  }
  io::death end_of(const io::process_key& who) {
    std::optional<io::death> d;
    REQUIRE(reaper->watch(who, [&](const io::death& x) { d = x; }));
    REQUIRE(here->until([&] { return d.has_value(); }, 5min));
    return *d;
  }

  sim::machine host;
  std::shared_ptr<sim::oci_containers> state;
  std::unique_ptr<sim::life> here;
  std::unique_ptr<io::reaper> reaper;
  std::unique_ptr<runtime::engine> engine;
  int null = -1;
};

} // namespace

TEST_CASE("a container is created, started, ends and is deleted", "[sim]") {
  bench b({"work", "after=5ms", "exit=3"});
  const auto made = b.create(false);
  REQUIRE(made.ok());
  CHECK(b.host.files.exists("/run/oci/default.c/state.json"));
  CHECK(b.host.groups.populated("/gantry/default/c"));
  CHECK(b.start().ok());
  const auto d = b.end_of(made->key);
  CHECK(d.status.known);
  CHECK(d.status.code == 3);
  CHECK(b.remove(false).ok());
  CHECK_FALSE(b.host.files.exists("/run/oci/default.c"));
  CHECK(b.host.groups.at("/gantry/default/c") == nullptr);
  CHECK(b.remove(false).ok()); // Unknown is gone.
}

TEST_CASE("CRIU is told the cgroup of the container that is restored, in a scope as well",
          "[sim]") {
  for (const bool by_systemd : {false, true}) {
    bench b({"work"});
    std::string asked;
    b.engine = runtime::make_oci_engine(
      b.here->loop, *b.reaper, "/run/oci", {}, [&asked](const std::string& id) {
        asked = id;
        return std::string("/a.slice/a-default.c.scope");
      });
    const auto made = b.answer<runtime::made_process>([&](auto f) {
      runtime::create_command c;
      c.runtime = "/usr/sbin/runc";
      c.id = "default.c";
      c.bundle = "/run/b";
      c.stdio = {b.null, b.null, b.null};
      c.images = "/run/no-images"; // It fails; what CRIU would have been told stays.
      c.by_systemd = by_systemd;
      b.engine->create(std::move(c), f);
    });
    CHECK_FALSE(made.ok());
    if (by_systemd)
      CHECK(asked == "default.c");
    const auto told = b.host.files.get("/run/b/criu.conf");
    CHECK(told.find(by_systemd ? "cgroup-root /a.slice/a-default.c.scope\n"
                               : "cgroup-root /gantry/default/c\n") != std::string::npos);
  }
}

TEST_CASE("a process that has died before its pid file was read is still found", "[sim]") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("GANTRY_SEED=" << seed);
    sim::machine_options o;
    o.seed = seed;
    bench b({"work", "after=1us", "exit=9"}, o);
    const auto made = b.create(true);
    REQUIRE(made.ok());
    CHECK(b.end_of(made->key).status.code == 9);
    CHECK(b.remove(false).ok());
  }
}

TEST_CASE("a command that is not there has its own code", "[sim]") {
  bench b({"/no/such"});
  const auto made = b.create(false);
  REQUIRE_FALSE(made.ok());
  CHECK(made.why().code == ec::command_not_found);
  CHECK(b.host.groups.at("/gantry/default/c") == nullptr);
  CHECK(b.state->empty());
}

TEST_CASE("execs run beside init and die with it", "[sim]") {
  bench b({"work"});
  const auto init = b.create(true);
  REQUIRE(init.ok());
  const auto failed = b.exec({"nope"});
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.why().code == ec::command_not_found);
  const auto exec = b.exec({"work"});
  REQUIRE(exec.ok());
  b.host.signal(*b.host.find(init->key.pid), SIGKILL);
  CHECK(b.end_of(exec->key).status.signal == SIGKILL);
  CHECK(b.end_of(init->key).status.signal == SIGKILL);
  CHECK_FALSE(b.exec({"work"}).ok());
  CHECK(b.remove(true).ok());
}

TEST_CASE("a runtime that hangs or dies answers with an error and leaves nothing", "[sim]") {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    INFO("GANTRY_SEED=" << seed);
    sim::machine_options o;
    o.seed = seed;
    o.hybrid = seed % 2 == 0;
    o.faults.runtime_hangs = seed % 3 == 0 ? 1 : 0;
    o.faults.runtime_dies = seed % 3 == 1 ? 1 : 0;
    o.faults.runtime_fails = seed % 3 == 2 ? 1 : 0;
    bench b({"work"}, o);
    const auto made = b.create(true);
    b.host.options.faults = {};
    if (made.ok()) {
      CHECK(b.remove(true).ok());
      continue;
    }
    CHECK_FALSE(made.why().message.empty());
    CHECK(b.remove(true).ok());
    CHECK_FALSE(b.host.files.exists("/run/oci/default.c"));
    CHECK_FALSE(b.host.groups.populated("/gantry/default/c"));
  }
}
