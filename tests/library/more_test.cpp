#include <algorithm>
#include <fcntl.h>
#include <future>
#include <poll.h>

#include "tests/library/rig.hpp"

using namespace gantry;
using namespace gantry::testing;

namespace {

/// All that a container wrote to stdout, when it has ended.
std::string output(supervisor& s, const std::string& id) {
  REQUIRE(got(s.wait({.ref = id})).ok());
  auto io = got(s.open_io({.ref = id, .err = false}));
  REQUIRE(io.ok());
  return text_of(io->out());
}

void spill(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

} // namespace

TEST_CASE("library: a terminal has a size, before and after the start", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "stty size; read x; stty size"});
    req.spec.with_stdin = req.spec.terminal = true;
    req.spec.terminal_size = terminal_size{.width = 100, .height = 30};
    req.start = false;
    REQUIRE(got(s.create(req)).ok());
    CHECK(got(s.inspect("a"))->processes.at(0).terminal_size.width == 100);
    CHECK(got(s.resize("a", {.width = 90, .height = 20})).ok());
    REQUIRE(got(s.start("a")).ok());
    auto io = got(s.open_io({.ref = "a", .in = true}));
    REQUIRE(io.ok());
    std::string seen;
    char c = 0;
    while (seen.find('\n') == std::string::npos && ::read(io->out(), &c, 1) == 1)
      seen += c;
    CHECK(seen == "20 90\r\n");
    CHECK(got(s.resize("a", {.width = 0, .height = 1})).why().code == ec::invalid_argument);
    CHECK(got(s.resize("a", {.width = 65536, .height = 1})).why().code == ec::invalid_argument);
    CHECK(got(s.resize("a", {.width = 1000, .height = 7}, "init")).ok());
    REQUIRE(::write(io->in(), "\n", 1) == 1);
    CHECK(text_of(io->out()) == "\r\n7 1000\r\n");
    CHECK(got(s.resize("none", {.width = 1, .height = 1})).why().code == ec::not_found);
  });
}

TEST_CASE("library: what a container sees and may do", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    fs::create_directories(r.dir + "/data");
    spill(r.dir + "/data/file", "words\n");
    auto req = r.run("a", {"/bin/sh", "-c",
                           "cat /data/file; echo x >/data/y || echo sealed; echo y >/t/y; cat /t/y;"
                           "ulimit -n; cat /proc/self/oom_score_adj; id -u; id -G;"
                           "cat /proc/sys/net/core/somaxconn; grep CapBnd /proc/self/status;"
                           "stat -c %t:%T /dev/nil"});
    auto& spec = req.spec;
    spec.mounts = {{.source = r.dir + "/data", .target = "/data", .read_only = true},
                   {.type = "tmpfs", .target = "/t", .options = {"size=1m", "mode=1777"}}};
    spec.cap_drop = {"ALL"};
    spec.cap_add = {"KILL"};
    spec.rlimits = {{.type = "RLIMIT_NOFILE", .soft = 77, .hard = 99}};
    spec.devices = {{.host_path = "/dev/null", .path = "/dev/nil"}};
    spec.sysctls = {{"net.core.somaxconn", "123"}};
    spec.oom_score_adj = 500;
    spec.groups = {7};
    spec.group_names = {"video"};
    fs::create_directories(r.rootfs + "/etc");
    spill(r.rootfs + "/etc/group", "video:x:44:\n");
    spec.user = "33:34";
    spec.shm_bytes = 1 << 20;
    spec.limits.cpu_quota_us = 50'000;
    spec.limits.cpu_period_us = 100'000;
    const auto made = got(s.create(req));
    INFO((made ? "" : made.why().text()));
    REQUIRE(made.ok());
    CHECK(output(s, "a")
          == "words\nsealed\ny\n77\n500\n33\n34 7 44\n123\nCapBnd:\t0000000000000020\n1:3\n");
    CHECK(got(s.inspect("a"))->config_json.find("\"quota\":50000") != std::string::npos);
    auto bad = r.run("b", {"/bin/true"});
    bad.spec.security.apparmor = "no such profile of any host";
    CHECK_FALSE(got(s.create(bad)).ok());
    bad.spec.security = {};
    bad.spec.mounts = {{.source = "/nowhere/at/all", .target = "/data"}};
    CHECK(got(s.create(bad)).why().message.find("/nowhere/at/all") != std::string::npos);
  });
}

TEST_CASE("library: a container that has not said that it is ready", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "test -S $NOTIFY_SOCKET && sleep 9"});
    req.spec.notify = notify_socket{.watchdog = std::chrono::seconds(5), .main_only = true};
    REQUIRE(got(s.create(req)).ok());
    const auto seen = got(s.inspect("a"));
    REQUIRE(seen.ok());
    CHECK(seen->summary.health == "starting");
    CHECK_FALSE(seen->summary.ready);
    CHECK(seen->summary.said.empty());
    REQUIRE((seen->health && seen->health->notify));
    CHECK(seen->health->notify->watchdog == std::chrono::seconds(5));
    CHECK_FALSE(seen->health->notify->ready);
    CHECK(seen->config_json.find("\"WATCHDOG_USEC=5000000\"") != std::string::npos);
    req.ref = "b";
    req.spec.notify->watchdog = std::chrono::milliseconds(1);
    CHECK(got(s.create(req)).why().code == ec::invalid_argument);
  });
}

TEST_CASE("library: an exec's own limits, and changed limits of a container",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
    exec_request e;
    e.ref = "a";
    e.process = "e";
    e.spec.args = {"/bin/sh", "-c", "ulimit -n; grep NoNewPrivs /proc/self/status"};
    e.spec.rlimits = {{.type = "RLIMIT_NOFILE", .soft = 20, .hard = 20}};
    e.spec.no_new_privileges = false;
    std::promise<io_bundle> ready;
    e.on_stdio = [&](io_bundle x) { ready.set_value(std::move(x)); };
    REQUIRE(got(s.exec(e)).ok());
    auto io = ready.get_future().get();
    CHECK(text_of(io.out()) == "20\nNoNewPrivs:\t0\n");
    resource_limits limits;
    limits.cpu_quota_us = 20'000;
    limits.memory_bytes = 64 << 20;
    CHECK(got(s.update("a", limits)).ok());
    CHECK(got(s.usage("a"))->front().memory_limit_bytes == 64u << 20);
    limits.cpu_quota_us = 1;
    CHECK(got(s.update("a", limits)).why().code == ec::invalid_argument);
  });
}

TEST_CASE("library: an exec with its output, a limit of time, and whom it started",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
    exec_sync_request e;
    e.ref = "a";
    e.process = "e";
    e.spec.args = {"/bin/sh", "-c", "echo out; echo err >&2; exit 4"};
    const auto done = got(s.exec_sync(e));
    INFO((done ? "" : done.why().text()));
    REQUIRE(done.ok());
    CHECK(done->exit.code == 4);
    CHECK(done->out.head + done->out.tail == "out\n");
    CHECK(done->err.head + done->err.tail == "err\n");
    CHECK(done->out.omitted_bytes == 0);
    e.process = "long";
    e.spec.args = {"/bin/sh", "-c", "sleep 1000 & sleep 1000"};
    e.spec.timeout = 200ms;
    const auto cut = got(s.exec_sync(e));
    REQUIRE(cut.ok());
    CHECK(cut->exit.signal == 9);
    CHECK(cut->exit.ended_by == "timeout");
    exec_request held;
    held.ref = "a";
    held.process = "held";
    held.spec.args = {"/bin/sleep", "1000"};
    held.spec.privileged = true;
    held.spec.ttl = 1h;
    REQUIRE(got(s.exec(held)).ok());
    const auto living = got(s.processes("a"));
    REQUIRE(living.ok());
    CHECK(living->size() == 2);
    CHECK(got(s.processes("a", true))->size() == 4);
    CHECK(got(s.kill({.ref = "a", .process = "held", .signal = "KILL", .tree = true})).ok());
    CHECK(got(s.wait({.ref = "a", .process = "held"}))->exit.signal == 9);
  });
}

TEST_CASE("library: a part of a log, and a new file for it", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "echo red; echo blue; echo reddish >&2; read x"});
    req.spec.with_stdin = true;
    req.spec.log.format = "cri";
    REQUIRE(got(s.create(req)).ok());
    auto follows = got(s.open_io({.ref = "a"}));
    REQUIRE(follows.ok());
    char first[4] = {};
    CHECK(::read(follows->out(), first, sizeof(first)) == 4); // It has begun to write.
    const auto fresh = got(s.reopen_log("a"));
    REQUIRE(fresh.ok());
    CHECK(fresh->number >= 2);
    CHECK(fresh->path.find("log.") != std::string::npos);
    REQUIRE(got(s.close_stdin("a")).ok());
    REQUIRE(got(s.wait({.ref = "a"})).ok());
    auto part = got(s.open_io({.ref = "a", .follow = false, .grep = "red"}));
    REQUIRE(part.ok());
    CHECK(text_of(part->out()) == "red\n");
    CHECK(text_of(part->err()) == "reddish\n");
    const auto later = std::chrono::system_clock::now() + 1h;
    auto none = got(s.open_io({.ref = "a", .follow = false, .since = later}));
    REQUIRE(none.ok());
    CHECK(text_of(none->out()).empty());
    auto all = got(s.open_io({.ref = "a", .err = false, .follow = false, .until = later}));
    REQUIRE(all.ok());
    CHECK(text_of(all->out()) == "red\nblue\n");
    CHECK(got(s.inspect("a"))->processes.at(0).log.stderr_bytes == 8);
    const auto disk = got(s.disk_use());
    REQUIRE(disk.ok());
    CHECK(disk->journal_files > 0);
    REQUIRE(disk->containers.size() == 1);
    CHECK(disk->containers[0].ref.id == "a");
    CHECK(disk->containers[0].log_bytes > 0);
  });
}

TEST_CASE("library: a pidfd of a process tells its end", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
    exec_request e{.ref = "a", .process = "e"};
    e.spec.args = {"/bin/sleep", "1000"};
    REQUIRE(got(s.exec(e)).ok());
    auto init = s.process_fd("a");
    auto exec = s.process_fd("a", "e");
    REQUIRE((init.ok() && exec.ok()));
    CHECK((::fcntl(*init, F_GETFD) & FD_CLOEXEC) != 0);
    pollfd watched[] = {{*init, POLLIN, 0}, {*exec, POLLIN, 0}};
    CHECK(::poll(watched, 2, 0) == 0);
    REQUIRE(got(s.kill({.ref = "a", .process = "e"})).ok());
    CHECK(::poll(watched + 1, 1, 10'000) == 1);
    CHECK(::poll(watched, 1, 0) == 0);
    REQUIRE(got(s.kill({.ref = "a"})).ok());
    CHECK(::poll(watched, 1, 10'000) == 1);
    ::close(*init);
    ::close(*exec);
    REQUIRE(got(s.wait({.ref = "a"})).ok());
    CHECK(s.process_fd("a").why().code == ec::wrong_state);
    CHECK(s.process_fd("none").why().code == ec::not_found);
  });
}

TEST_CASE("library: a container comes after another one", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto first = r.run("db", {"/bin/sleep", "1000"});
    first.start = false;
    REQUIRE(got(s.create(first)).ok());
    auto req = r.run("web", {"/bin/sleep", "1000"});
    req.spec.after = {{.id = "db"}};
    req.spec.after_timeout = 60s;
    std::promise<event> waiting;
    subscribe_options how;
    how.containers = {"web"};
    how.since = event_cursor{};
    auto sub = s.subscribe(how, [&](const event& e) -> result<void> {
      if (e.type == "waiting")
        waiting.set_value(e);
      return {};
    });
    auto made = s.create(req);
    auto said = waiting.get_future();
    REQUIRE(said.wait_for(60s) == std::future_status::ready);
    CHECK(said.get().details.at("for") == "db:started");
    const auto seen = got(s.inspect("web"));
    REQUIRE(seen.ok());
    CHECK(seen->summary.state == container_state::waiting);
    CHECK(seen->summary.waits_for == std::vector<std::string>{"db:started"});
    CHECK(made.wait_for(0s) != std::future_status::ready);
    REQUIRE(got(s.start("db")).ok());
    CHECK(got(std::move(made)).ok());
    CHECK(got(s.inspect("web"))->summary.state == container_state::running);
    req.ref = "more";
    req.spec.after = {{.id = "more", .condition = "healthy"}};
    CHECK(got(s.create(req)).why().code == ec::invalid_argument);
    for (const auto* id : {"web", "db"})
      CHECK(got(s.remove({.ref = id, .force = true})).ok());
  });
}

TEST_CASE("library: lists are filtered by the supervisor", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto web = r.run("web", {"/bin/sleep", "1000"});
    web.spec.labels = {{"tier", "front"}};
    REQUIRE(got(s.create(web)).ok());
    REQUIRE(got(s.create(r.run("job", {"/bin/sh", "-c", "exit 3"}))).ok());
    REQUIRE(got(s.wait({.ref = "job"})).ok());
    const auto ids = [&s](const list_request& what) {
      std::vector<std::string> out;
      const auto found = got(s.list(what));
      REQUIRE(found.ok());
      for (const auto& c : found->containers)
        out.push_back(c.ref.id);
      std::sort(out.begin(), out.end());
      return out;
    };
    using words = std::vector<std::string>;
    CHECK(ids({.all = true}) == words{"job", "web"});
    CHECK(ids({}) == words{"web"});
    CHECK(ids({.labels = {{"tier", "front"}}}) == words{"web"});
    CHECK(ids({.labels = {{"tier", "back"}}}).empty());
    CHECK(ids({.label_keys = {"tier"}}) == words{"web"});
    CHECK(ids({.exit_codes = {3}}) == words{"job"});
    CHECK(ids({.states = {container_state::stopped}}) == words{"job"});
    CHECK(ids({.all = true, .ids = {"jo"}}) == words{"job"});
    CHECK(ids({.ns = "other", .all = true}).empty());
  });
}

TEST_CASE("library: checkpoints, and what becomes of one that cannot be taken",
          "[root][runc][criu][uring]") {
  both_ways([](rig& r, supervisor& s) {
    REQUIRE(got(s.create(r.run("a", {"/bin/sh", "-c", "while :; do sleep 1; done"}))).ok());
    checkpoint_request what;
    what.ref = "a";
    what.name = "one";
    const auto made = got(s.checkpoint(what));
    const auto listed = got(s.checkpoints("a"));
    REQUIRE(listed.ok());
    CHECK(got(s.remove_checkpoint("a", "none")).why().code == ec::not_found);
    if (!made) { // CRIU does not know this kernel: it says so, and the container goes on.
      CHECK(made.why().text().find("checkpoint") != std::string::npos);
      CHECK(listed->empty());
      CHECK(got(s.inspect("a"))->summary.state == container_state::running);
      CHECK_FALSE(got(s.restore({.ref = "a", .checkpoint = "one"})).ok());
      return;
    }
    CHECK(made->name == "one");
    REQUIRE(listed->size() == 1);
    CHECK(listed->front().name == "one");
    CHECK(got(s.wait({.ref = "a"}))->exit.checkpoint == "one");
    const auto back = got(s.restore({.ref = "a", .checkpoint = "one"}));
    INFO((back ? "" : back.why().text()));
    REQUIRE(back.ok());
    CHECK(back->pid > 0);
    CHECK(got(s.remove_checkpoint("a", "one")).ok());
  });
}
