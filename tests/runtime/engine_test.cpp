#include "runtime/engine.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "host_rig.hpp"
#include "tests/slower.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

v1::ProcessSpec process(const std::vector<std::string>& args) {
  v1::ProcessSpec out;
  for (const auto& arg : args)
    out.add_args(arg);
  return out;
}

/// A stub in the runtime's place: a shell script.
std::string script(engine_rig& rig, const std::string& name, const std::string& text) {
  auto path = rig.dir + "/" + name;
  host_rig::spill(path, "#!/bin/sh\n" + text);
  std::filesystem::permissions(path, std::filesystem::perms(0755));
  return path;
}

bool lives(int32_t pid) {
  return ::kill(pid, 0) == 0;
}

} // namespace

TEST_CASE("a container is created, started, seen to exit and deleted", "[root][runc]") {
  engine_rig rig;
  auto made = rig.create("a", rig.spec({"/bin/sh", "-c", "echo hello; exit 3"}), false);
  REQUIRE(made.ok());
  CHECK(made->key.pid > 0);
  CHECK(rig.kernel->start_ticks(made->key.pid) == int64_t(made->key.start_ticks));
  REQUIRE(rig.start("a").ok());
  CHECK(rig.end_of(*made) == 3);
  CHECK(rig.output("a") == "hello\n");
  CHECK(rig.remove("a", false).ok());
  // Nothing is left but these; the pid file is its reader's.
  CHECK(rig.files("a") == std::vector<std::string>{"config.json", "init.pid"});
  CHECK(rig.engine->stats().commands == 3);
  CHECK(rig.engine->stats().failed == 0);
  CHECK(rig.engine->stats().wall_ns > 0);
}

TEST_CASE("run makes and starts in one command, and a process that died at once is named",
          "[root][runc]") {
  engine_rig rig;
  auto made = rig.create("a", rig.spec({"/bin/true"}), true);
  REQUIRE(made.ok());
  CHECK(rig.engine->stats().commands == 1);
  CHECK(rig.end_of(*made) == 0);
  CHECK(rig.remove("a", false).ok());
}

TEST_CASE("what has come and gone without a keeper was made, and its end is unknown", "[root]") {
  engine_rig rig;
  rig.runtime = script(rig, "quick", R"(
while [ $# -gt 0 ]; do [ "$1" = --pid-file ] && file=$2; shift; done
[ -n "$file" ] || exit 0
sh -c 'exit 3' & wait $!
echo $! >"$file")");
  auto made = rig.create("a", rig.spec({"/bin/true"}), true);
  REQUIRE(made.ok());
  CHECK(made->key.pid > 0);
  std::optional<io::death> seen;
  REQUIRE(rig.reaper->watch(made->key, [&seen](const io::death& d) { seen = d; }));
  REQUIRE(rig.until([&seen] { return seen.has_value(); }));
  CHECK_FALSE(seen->status.known);
}

TEST_CASE("an exec runs in the container with its own environment and user", "[root][runc]") {
  engine_rig rig;
  auto init = rig.create("a", rig.spec({"/bin/sleep", "1000"}), true);
  REQUIRE(init.ok());
  auto p = process({"/bin/sh", "-c", "echo $X $(id -u) $(pwd); exit 5"});
  p.add_env("X=y");
  p.set_user("12:13");
  p.set_workdir("/tmp");
  auto made = rig.exec("a", p);
  REQUIRE(made.ok());
  CHECK(rig.end_of(*made) == 5);
  CHECK(rig.output("a") == "y 12 /tmp\n");
  CHECK(rig.files("a") == std::vector<std::string>{"config.json", "exec.e1.pid", "init.pid"});
  rig.kill(*init, SIGKILL);
  CHECK(rig.end_of(*init) == 128 + SIGKILL);
  CHECK(rig.remove("a", false).ok());
}

TEST_CASE("a living container is deleted only by force", "[root][runc]") {
  engine_policy policy;
  policy.delete_deadline = tests::scaled(300ms);
  engine_rig rig(policy);
  auto init = rig.create("a", rig.spec({"/bin/sleep", "1000"}), true);
  REQUIRE(init.ok());
  auto refused = rig.remove("a", false);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.why().code == ec::wrong_state);
  CHECK(refused.why().message.starts_with("container \"a\": delete by runc failed: "));
  CHECK(rig.engine->stats().commands > 3); // it was tried again until the deadline
  CHECK(lives(init->key.pid));
}

TEST_CASE("deleting what the runtime does not know is success", "[root][runc]") {
  engine_rig rig;
  CHECK(rig.remove("nobody", false).ok());
  CHECK(rig.remove("nobody", true).ok());
}

TEST_CASE("a delete waits for an init that is on its way out", "[root][runc]") {
  engine_rig rig;
  auto init = rig.create("a", rig.spec({"/bin/sh", "-c", "exec sleep 1000"}), true);
  REQUIRE(init.ok());
  std::optional<io::death> seen;
  REQUIRE(rig.reaper->watch(init->key, [&seen](const io::death& d) { seen = d; }));
  rig.kill(*init, SIGKILL);
  CHECK(rig.remove("a", false).ok());
  CHECK(rig.until([&seen] { return seen.has_value(); }));
}

TEST_CASE("limits change while the container runs", "[root][runc]") {
  engine_rig rig;
  auto spec = rig.spec({"/bin/sleep", "1000"});
  spec.mutable_resources()->set_memory_bytes(64 << 20);
  REQUIRE(rig.create("a", spec, true).ok());
  CHECK(rig.group("a").stats(false)->memory_limit_bytes() == 64u << 20);
  v1::Resources more;
  more.set_memory_bytes(96 << 20);
  more.set_pids_limit(50);
  auto done = rig.wait<void>([&rig, &more](auto f) {
    rig.engine->update(rig.runtime, "default.a", resources_json(more).dump(), 5, f);
  });
  REQUIRE(done.ok());
  auto now = rig.group("a").stats(false);
  REQUIRE(now.ok());
  CHECK(now->memory_limit_bytes() == 96u << 20);
  CHECK(now->pids_limit() == 50);
  CHECK(std::filesystem::is_empty(rig.dir + "/runc.tmp"));
}

TEST_CASE("a taken id, a missing command and one that is not executable have codes of their own",
          "[root][runc]") {
  engine_rig rig;
  auto missing = rig.create("a", rig.spec({"/bin/nope"}), false);
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.why().code == ec::command_not_found);
  CHECK(missing.why().message.starts_with("container \"a\": create by runc failed: "));
  CHECK(missing.why().message.find("/bin/nope") != std::string::npos);
  CHECK(rig.create("b", rig.spec({"nope"}), true).why().code == ec::command_not_found);
  CHECK(rig.create("c", rig.spec({"/tmp"}), true).why().code == ec::not_executable);
  host_rig::spill(rig.root + "/bin/data", "no program");
  CHECK(rig.create("d", rig.spec({"/bin/data"}), true).why().code == ec::not_executable);
  REQUIRE(rig.create("e", rig.spec({"/bin/sleep", "1000"}), true).ok());
  auto again = rig.create("e", rig.spec({"/bin/sleep", "1000"}), true);
  REQUIRE_FALSE(again.ok());
  CHECK(again.why().code == ec::already_exists);
  CHECK(rig.exec("e", process({"/bin/nope"})).why().code == ec::command_not_found);
  CHECK(rig.exec("e", process({"/tmp"})).why().code == ec::not_executable);
  CHECK(rig.files("a") == std::vector<std::string>{"config.json"});
  CHECK(std::filesystem::is_empty(rig.dir + "/runc/") == false); // e lives
}

TEST_CASE("an exec in a paused, a dead and an unknown container is the wrong state or not found",
          "[root][runc]") {
  engine_rig rig;
  auto init = rig.create("a", rig.spec({"/bin/sleep", "1000"}), true);
  REQUIRE(init.ok());
  auto group = rig.group("a");
  // In the middle of its exec, init waits for its other threads: those are frozen, and on v1 the
  // cgroup stays FREEZING until they are thawed.
  int asked = 0;
  REQUIRE(rig.until([&group, &asked] {
    if (group.frozen())
      return true;
    if (++asked % 50 == 0 && !group.thaw().ok())
      return false;
    return group.freeze().ok() && group.frozen();
  }));
  CHECK(rig.exec("a", process({"/bin/true"})).why().code == ec::wrong_state);
  REQUIRE(group.thaw().ok());
  CHECK_FALSE(group.frozen());
  rig.kill(*init, SIGKILL);
  CHECK(rig.end_of(*init) == 128 + SIGKILL);
  CHECK(rig.exec("a", process({"/bin/true"})).why().code == ec::wrong_state);
  CHECK(rig.start("a").why().code == ec::wrong_state);
  CHECK(rig.remove("a", false).ok());
  CHECK(rig.exec("a", process({"/bin/true"})).why().code == ec::not_found);
}

TEST_CASE("a frozen container dies by kill_all", "[root][runc]") {
  engine_rig rig;
  auto init = rig.create("a", rig.spec({"/bin/sh", "-c", "sleep 1000 & sleep 1000"}), true);
  REQUIRE(init.ok());
  auto group = rig.group("a");
  REQUIRE(rig.until([&group] { return group.pids().size() >= 2; }));
  REQUIRE(group.freeze().ok());
  REQUIRE(rig.until([&group] { return group.frozen() || !group.freeze().ok(); }));
  REQUIRE(group.kill_all().ok());
  CHECK(rig.end_of(*init) == 128 + SIGKILL);
  CHECK(rig.until([&group] { return !group.populated(); }));
  CHECK(rig.remove("a", false).ok());
}

TEST_CASE("a missing runtime is told as such", "[root]") {
  engine_rig rig;
  rig.runtime = "/nowhere/runc";
  auto made = rig.create("a", rig.spec({"/bin/true"}), false);
  REQUIRE_FALSE(made.ok());
  CHECK(made.why().code == ec::runtime_missing);
  CHECK(made.why().message.find("/nowhere/runc") != std::string::npos);
  auto version = rig.wait<std::string>(
    [&rig](auto f) { rig.engine->version(rig.runtime, f); });
  CHECK(version.why().code == ec::runtime_missing);
  rig.ids.clear();
}

TEST_CASE("the version is the first line, asked for once", "[root][runc]") {
  engine_rig rig;
  for (int i = 0; i < 2; ++i) {
    auto version = rig.wait<std::string>(
      [&rig](auto f) { rig.engine->version(rig.runtime, f); });
    REQUIRE(version.ok());
    CHECK(version->starts_with("runc version "));
    CHECK(version->find('\n') == std::string::npos);
  }
  CHECK(rig.engine->stats().commands == 1);
}

TEST_CASE("a create over its deadline is killed with its children, and what it made is deleted",
          "[root]") {
  engine_policy policy;
  policy.create_deadline = tests::scaled(700ms);
  engine_rig rig(policy);
  // Moves a child into the container's cgroup, as a runtime does, and then hangs.
  auto group = rig.cgroup_path("default.a");
  bool pure = rig.cgroups.mode == cgroup_mode::v2;
  auto at = std::string(pure ? rig.cgroups.root : rig.cgroups.mount_of("memory")) + group;
  rig.runtime = script(rig, "stuck",
                       "case \"$*\" in *delete*) echo \"$@\" >> " + rig.dir
                         + "/deletes; exit 0;; esac\n"
                       "mkdir -p " + at + "\n"
                       "setsid sleep 1000 & echo $! > " + at + "/cgroup.procs\n"
                       "echo $! > " + rig.dir + "/inside\n"
                       "sleep 1000 & echo $! > " + rig.dir + "/child\n"
                       "wait\n");
  auto made = rig.create("a", rig.spec({"/bin/true"}), false);
  REQUIRE_FALSE(made.ok());
  CHECK(made.why().code == ec::deadline_exceeded);
  std::ostringstream seconds;
  seconds << std::chrono::duration<double>(policy.create_deadline).count();
  CHECK(made.why().message == "container \"a\": create by stuck took longer than " + seconds.str()
                                + " s and was killed");
  auto inside = std::stoi(host_rig::slurp(rig.dir + "/inside"));
  auto child = std::stoi(host_rig::slurp(rig.dir + "/child"));
  auto ended = [&rig](int pid) { // dead, or a zombie of ours
    auto stat = host_rig::slurp("/proc/" + std::to_string(pid) + "/stat");
    return stat.empty() || stat.find(") Z ") != std::string::npos;
  };
  CHECK(rig.until([&] { return ended(inside) && ended(child); }, 5s));
  CHECK(host_rig::slurp(rig.dir + "/deletes").find("delete --force default.a")
        != std::string::npos);
  CHECK(rig.engine->stats().timed_out == 1);
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

TEST_CASE("commands beyond the limit wait in order, and a queue that is full is refused",
          "[root]") {
  engine_policy policy;
  policy.max_in_flight = 1;
  policy.max_queued = 2;
  engine_rig rig(policy);
  auto order = rig.dir + "/order";
  rig.runtime = script(rig, "slow", "for last; do :; done; echo $last >> " + order
                                      + "; while ! [ -e " + rig.dir
                                      + "/go ]; do sleep 0.01; done\n");
  std::vector<std::string> done;
  std::optional<error> refused;
  for (const char* id : {"1", "2", "3", "4"})
    rig.engine->start(rig.runtime, id, rig.dir, 1, [&, id](result<void> r) {
      if (r.ok())
        done.emplace_back(id);
      else
        refused = r.why();
    });
  REQUIRE(rig.until([&refused] { return refused.has_value(); }));
  CHECK(refused->code == ec::resource_exhausted);
  CHECK(refused->message.find("container \"4\"") != std::string::npos);
  CHECK(rig.engine->stats().in_flight == 1);
  CHECK(rig.engine->stats().queued == 2);
  host_rig::spill(rig.dir + "/go", "");
  REQUIRE(rig.until([&done] { return done.size() == 3; }));
  CHECK(done == std::vector<std::string>{"1", "2", "3"});
  CHECK(host_rig::slurp(order) == "1\n2\n3\n");
}

TEST_CASE("a stuck command gives its place to the others", "[root]") {
  engine_policy policy;
  policy.max_in_flight = 1;
  policy.patience = 50ms;
  policy.start_deadline = tests::scaled(1s);
  engine_rig rig(policy);
  rig.runtime = script(rig, "stuck", "for last; do :; done\n[ $last = bad ] || exit 0\n"
                                     "exec sleep 1000\n");
  bool good = false;
  std::optional<error> bad;
  rig.engine->start(rig.runtime, "bad", rig.dir, 1, [&bad](result<void> r) {
    REQUIRE_FALSE(r.ok());
    bad = r.why();
  });
  rig.engine->start(rig.runtime, "good", rig.dir, 1, [&good](result<void> r) { good = r.ok(); });
  REQUIRE(rig.until([&good] { return good; }));
  CHECK_FALSE(bad.has_value());
  REQUIRE(rig.until([&bad] { return bad.has_value(); }));
  CHECK(bad->code == ec::deadline_exceeded);
}

TEST_CASE("a runtime knows nothing of our environment, and its op and root are in its own",
          "[root]") {
  engine_rig rig;
  ::setenv("NOTIFY_SOCKET", "/x", 1);
  rig.runtime = script(rig, "env", "env > " + rig.dir + "/env\n");
  auto done = rig.wait<void>(
    [&rig](auto f) { rig.engine->start(rig.runtime, "a", rig.dir, 4711, f); });
  ::unsetenv("NOTIFY_SOCKET");
  REQUIRE(done.ok());
  auto env = host_rig::slurp(rig.dir + "/env");
  CHECK(env.find("NOTIFY_SOCKET") == std::string::npos);
  CHECK(env.find("HOME=") == std::string::npos);
  CHECK(env.find("GANTRY_OP=4711\n") != std::string::npos);
  CHECK(env.find("GANTRY_ROOT=" + rig.dir + "/runc\n") != std::string::npos);
}

TEST_CASE("a command that outlives its engine is found by its op", "[root]") {
  engine_rig rig;
  rig.runtime = script(rig, "stuck", "exec sleep 1000\n");
  rig.engine->start(rig.runtime, "a", rig.dir, 4242, [](result<void>) { FAIL("answered"); });
  rig.engine.reset();
  REQUIRE(rig.loop->drain(5s)); // nothing of the engine is left in the kernel
  std::vector<orphan_command> found;
  REQUIRE(rig.until([&] {
    rig.loop->post([] {});
    found = find_orphans(*rig.kernel, rig.dir + "/runc");
    return !found.empty();
  }));
  REQUIRE(found.size() == 1);
  CHECK(found[0].op == 4242);
  CHECK(rig.kernel->start_ticks(found[0].pid) == int64_t(found[0].start_ticks));
  CHECK(find_orphans(*rig.kernel, rig.dir + "/other").empty());
  ::kill(found[0].pid, SIGKILL);
  ::waitpid(found[0].pid, nullptr, 0);
  CHECK(find_orphans(*rig.kernel, rig.dir + "/runc").empty());
}

TEST_CASE("the process of a pid file is found again after a crash", "[root]") {
  host_rig rig;
  auto file = create_pid_file(rig.dir);
  CHECK(made_before(*rig.kernel, *rig.reaper, file).why().code == ec::not_found);
  host_rig::spill(file, "");
  CHECK(made_before(*rig.kernel, *rig.reaper, file).why().code == ec::runtime_failed);
  host_rig::spill(file, std::to_string(::getpid()));
  auto me = made_before(*rig.kernel, *rig.reaper, file);
  REQUIRE(me.ok());
  CHECK(me->key.pid == ::getpid());
  auto gone = ::fork();
  if (gone == 0)
    ::_exit(0);
  ::waitpid(gone, nullptr, 0);
  host_rig::spill(file, std::to_string(gone));
  CHECK(made_before(*rig.kernel, *rig.reaper, file).why().code == ec::unknown_outcome);
}

TEST_CASE("a runtime is found by name or path, and crun is refused beside v1", "[root][runc]") {
  host_rig rig;
  CHECK(*find_runtime(*rig.kernel, "", false) == "/usr/sbin/runc");
  CHECK(*find_runtime(*rig.kernel, "runc", true) == "/usr/sbin/runc");
  CHECK(*find_runtime(*rig.kernel, "/usr/sbin/runc", false) == "/usr/sbin/runc");
  CHECK(find_runtime(*rig.kernel, "runz", false).why().code == ec::runtime_missing);
  CHECK(find_runtime(*rig.kernel, "/x/runc", false).why().code == ec::runtime_missing);
  CHECK(find_runtime(*rig.kernel, "./runc", false).why().code == ec::invalid_argument);
  CHECK(find_runtime(*rig.kernel, "crun", false).why().code == ec::unsupported);
}
