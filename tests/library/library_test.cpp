#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/library/rig.hpp"

using namespace gantry;
using namespace gantry::testing;

TEST_CASE("library: a container's whole life by futures", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto made = got(s.create(r.run("a", {"/bin/sleep", "1000"})));
    REQUIRE(made.ok());
    CHECK(made->pid > 0);
    auto twice = got(s.create(r.run("a", {"/bin/sleep", "1000"})));
    REQUIRE_FALSE(twice.ok());
    CHECK(twice.why().code == ec::already_exists);

    auto all = got(s.list());
    REQUIRE(all.ok());
    REQUIRE(all->containers.size() == 1);
    CHECK(all->containers[0].state == container_state::running);
    CHECK(all->containers[0].pid == made->pid);
    CHECK(all->cursor.epoch > 0);

    exec_request e;
    e.ref = "a";
    e.process = "e";
    e.spec.args = {"/bin/sh", "-c", "exit 7"};
    CHECK(got(s.exec(e)).ok());
    auto ended = got(s.wait({.ref = "a", .process = "e"}));
    REQUIRE(ended.ok());
    CHECK(ended->exit.code == 7);

    CHECK(got(s.pause("a")).ok());
    CHECK(got(s.inspect("a"))->summary.state == container_state::paused);
    CHECK(got(s.resume("a")).ok());
    auto processes = got(s.top("a"));
    REQUIRE(processes.ok());
    CHECK(processes->front().process == "init");
    auto use = got(s.usage("a"));
    REQUIRE(use.ok());
    CHECK(use->front().pids == 1);
    resource_limits limits;
    limits.pids = 7;
    CHECK(got(s.update("a", limits)).ok());
    CHECK(got(s.usage("a"))->front().pids_limit == 7);

    CHECK(got(s.kill({.ref = "a", .signal = "TERM"})).ok());
    auto exit = got(s.stop({.ref = "a", .timeout = 0s}));
    REQUIRE(exit.ok());
    CHECK(exit->signal > 0);
    CHECK(exit->shell_code() == 128 + exit->signal);
    CHECK(got(s.remove({.ref = "a"})).ok());
    CHECK(got(s.inspect("a")).why().code == ec::not_found);
    CHECK(got(s.version())->gantry == "0.1.0");
    CHECK(got(s.info())->keeper_state == "none");
  });
}

TEST_CASE("library: the streams of a container are ready before it runs", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "read x; echo got $x; echo bad >&2; exit 3"});
    req.spec.with_stdin = true;
    req.spec.remove_on_exit = true;
    req.stdio.in = true;
    std::promise<io_bundle> ready;
    req.on_stdio = [&](io_bundle x) { ready.set_value(std::move(x)); };
    const auto made = got(s.create(req));
    INFO((made ? "" : made.why().text()));
    REQUIRE(made.ok());
    auto io = ready.get_future().get();
    CHECK_FALSE(io.terminal());
    REQUIRE(::write(io.in(), "it\n", 3) == 3);
    CHECK(text_of(io.out()) == "got it\n");
    CHECK(text_of(io.err()) == "bad\n");
    CHECK(got(s.wait({.ref = "a", .instance = made->instance}))->exit.code == 3);
    CHECK(io.trouble().ok());
    CHECK(io.close().ok());
    CHECK(io.close().ok()); // Missing streams are no error.
    CHECK(io.out() == -1);
  });
}

TEST_CASE("library: with a terminal there is one stream of output", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/sh", "-c", "read x; echo out $x; echo err >&2"});
    req.spec.with_stdin = true;
    req.spec.terminal = true;
    req.stdio.in = true;
    std::promise<io_bundle> ready;
    req.on_stdio = [&](io_bundle x) { ready.set_value(std::move(x)); };
    const auto made = got(s.create(req));
    INFO((made ? "" : made.why().text()));
    REQUIRE(made.ok());
    auto io = ready.get_future().get();
    CHECK(io.terminal());
    CHECK(io.err() == -1);
    REQUIRE(::write(io.in(), "it\n", 3) == 3);
    const auto out = text_of(io.out());
    CHECK(out.find("out it\r\n") != std::string::npos);
    CHECK(out.find("err\r\n") != std::string::npos);
    CHECK(got(s.inspect("a"))->processes.at(0).terminal);
  });
}

TEST_CASE("library: a bundle tells the first error of its closing", "[root][runc][uring]") {
  rig r;
  auto& s = r.start();
  REQUIRE(got(s.create(r.run("a", {"/bin/echo", "x"}))).ok());
  auto io = got(s.open_io({.ref = "a"}));
  REQUIRE(io.ok());
  s.stop(true);       // So that nobody here gets the number that becomes free.
  ::close(io->out()); // Somebody else closed it.
  const auto closed = io->close();
  REQUIRE_FALSE(closed.ok());
  CHECK(closed.why().message.find("output") != std::string::npos);
  CHECK(io->err() == -1);
}

TEST_CASE("library: a stream that nobody reads holds up neither the other nor any command",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    constexpr size_t lines = 200'000; // Far more than a pipe holds.
    auto req = r.run("a", {"/bin/sh", "-c", "seq 1 200000; echo end >&2"});
    std::promise<io_bundle> ready;
    req.on_stdio = [&](io_bundle x) { ready.set_value(std::move(x)); };
    REQUIRE(got(s.create(req)).ok());
    auto io = ready.get_future().get();
    CHECK(text_of(io.err()) == "end\n"); // While nobody reads the output.
    CHECK(got(s.wait({.ref = "a"}))->exit.code == 0);
    const auto out = text_of(io.out());
    CHECK(size_t(std::count(out.begin(), out.end(), '\n')) == lines);
    CHECK(out.ends_with("\n200000\n"));
  });
}

TEST_CASE("library: input goes on where it was, and its end reaches the process",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    auto req = r.run("a", {"/bin/cat"});
    req.spec.with_stdin = true;
    REQUIRE(got(s.create(req)).ok());
    const std::string big(300'000, 'x');
    {
      auto first = got(s.open_io({.ref = "a", .in = true, .out = false, .err = false}));
      REQUIRE(first.ok());
      CHECK(first->out() == -1);
      const int in = first->release_in();
      std::thread writer([&, in] {
        for (size_t at = 0; at < big.size();)
          at += size_t(std::max<ssize_t>(0, ::write(in, big.data() + at, big.size() - at)));
        ::close(in); // The end of stdin.
      });
      auto out = got(s.open_io({.ref = "a"}));
      REQUIRE(out.ok());
      CHECK(text_of(out->out()) == big);
      writer.join();
    }
    CHECK(got(s.wait({.ref = "a"}))->exit.code == 0);
    auto late = got(s.open_io({.ref = "a", .in = true, .out = false, .err = false}));
    REQUIRE(late.ok());
    CHECK(got(s.open_io({.ref = "a", .process = "none"})).why().code == ec::not_found);
  });
}

TEST_CASE("library: a handler's error is counted and the event comes again, in order",
          "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    std::mutex m;
    std::condition_variable news;
    std::vector<std::string> types;
    int refusals = 0;
    subscribe_options how;
    how.containers = {"a"};
    how.first_pause = 1ms;
    auto sub = s.subscribe(how, [&](const event& e) -> result<void> {
      std::lock_guard guard(m);
      if (e.type == "start" && refusals < 3) {
        ++refusals;
        return error{ec::unavailable, "not now", ""};
      }
      types.push_back(e.type);
      news.notify_all();
      return {};
    });
    REQUIRE(got(s.create(r.run("a", {"/bin/true"}))).ok());
    REQUIRE(got(s.wait({.ref = "a"})).ok());
    REQUIRE(got(s.remove({.ref = "a"})).ok());
    {
      std::unique_lock lock(m);
      CHECK(news.wait_for(lock, 30s, [&] { return !types.empty() && types.back() == "delete"; }));
      CHECK(types == std::vector<std::string>{"create", "start", "exit", "delete"});
    }
    sub.stop(); // Its last call has returned: it is counted.
    const auto counted = sub.counters();
    CHECK(counted.errors == 3);
    CHECK(counted.events == 4);
    CHECK(counted.given_up == 0);

    // From its cursor on there is nothing more; from the beginning all of it, once.
    std::atomic<int> again{0};
    how.since = sub.cursor();
    how.most_tries = 2;
    auto rest = s.subscribe(how, [&](const event&) -> result<void> {
      ++again;
      return {};
    });
    how.since = event_cursor{};
    std::vector<std::string> tried;
    auto whole = s.subscribe(how, [&](const event& e) -> result<void> {
      std::lock_guard guard(m);
      tried.push_back(e.type);
      news.notify_all();
      if (e.type == "exit")
        return error{ec::internal, "never", ""};
      return {};
    });
    std::unique_lock lock(m);
    CHECK(news.wait_for(lock, 30s, [&] { return !tried.empty() && tried.back() == "delete"; }));
    CHECK(tried == std::vector<std::string>{"create", "start", "exit", "exit", "delete"});
    lock.unlock();
    whole.stop();
    CHECK(whole.counters().given_up == 1);
    CHECK(again == 0);
  });
}

TEST_CASE("library: list and events meet without a gap", "[root][runc][uring]") {
  both_ways([](rig& r, supervisor& s) {
    REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
    std::promise<container_list> listed;
    std::promise<event> first;
    std::atomic<int> events{0};
    subscribe_options how;
    how.on_list = [&](const container_list& x) { listed.set_value(x); };
    auto sub = s.subscribe(how, [&](const event& e) -> result<void> {
      if (++events == 1)
        first.set_value(e);
      return {};
    });
    const auto list = listed.get_future().get();
    REQUIRE(list.containers.size() == 1);
    CHECK(list.containers[0].ref.id == "a");
    REQUIRE(got(s.create(r.run("b", {"/bin/true"}))).ok());
    const auto e = first.get_future().get();
    CHECK(e.ref.id == "b");
    CHECK(e.seq > list.cursor.seq);
  });
}

TEST_CASE("library: the end answers what waits, tells the followers, and stops the containers",
          "[root][runc][uring]") {
  rig r;
  auto& s = r.start();
  REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
  auto there = r.connect();
  auto waits = s.wait({.ref = "a", .process = "init"});
  auto waits_there = there->wait({.ref = "a"});
  std::mutex m;
  std::vector<std::string> types;
  std::atomic<int> ends{0};
  subscribe_options how;
  how.on_end = [&](const error& why) { ends += why.code == ec::cancelled; };
  auto sub = s.subscribe(how, [&](const event& e) -> result<void> {
    std::lock_guard guard(m);
    types.push_back(e.type);
    return {};
  });
  auto io = got(s.open_io({.ref = "a"}));
  REQUIRE(io.ok());
  s.stop(true);
  const auto exit = got(std::move(waits)); // The container ended first.
  REQUIRE(exit.ok());
  CHECK(exit->exit.signal > 0);
  CHECK(got(std::move(waits_there)).ok());
  CHECK(text_of(io->out()).empty()); // Its end.
  CHECK(std::find(types.begin(), types.end(), "exit") != types.end());
  CHECK(ends == 1);
  const auto late = got(s.info());
  REQUIRE_FALSE(late.ok());
  CHECK(late.why().code == ec::unavailable);
  auto never = s.subscribe({}, [](const event&) { return result<void>{}; });
  s.stop(true); // Again: nothing.

  // Released: another one takes over at once.
  auto& next = r.start();
  CHECK(got(next.list("default", true))->containers.front().state == container_state::stopped);
}

TEST_CASE("library: a silent supervisor cannot keep a future waiting", "[root][runc][uring]") {
  rig r;
  auto& s = r.start();
  REQUIRE(got(s.create(r.run("a", {"/bin/sleep", "1000"}))).ok());
  auto there = r.connect();
  auto waits = there->wait({.ref = "a"});
  auto asked = there->info();
  REQUIRE(got(std::move(asked)).ok()); // The wait is under way.
  there->stop(false);
  const auto answer = got(std::move(waits));
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.why().code == ec::cancelled);
}

TEST_CASE("library: two supervisors in one process, and none on the directories of another",
          "[root][runc][uring]") {
  rig r;
  auto& s = r.start();
  auto second = supervisor::start(r.options());
  REQUIRE_FALSE(second.ok());
  CHECK(second.why().code == ec::already_exists);
  auto other = supervisor::start(r.options("b"));
  INFO((other ? "" : other.why().text()));
  REQUIRE(other.ok());
  REQUIRE(got(s.create(r.run("a", {"/bin/sh", "-c", "exit 1"}))).ok());
  auto req = r.run("b", {"/bin/sh", "-c", "exit 2"});
  req.ref.ns = "second";
  REQUIRE(got((*other)->create(req)).ok());
  CHECK(got(s.wait({.ref = "a"}))->exit.code == 1);
  CHECK(got((*other)->wait({.ref = {"b", "second"}}))->exit.code == 2);
  CHECK(got((*other)->list("*", true))->containers.size() == 1);
}

TEST_CASE("library: wrong options are errors that name them", "[root][uring]") {
  rig r;
  auto o = r.options();
  o.state_dir = "here";
  CHECK(supervisor::start(o).why().message.find("state_dir") != std::string::npos);
  o = r.options();
  o.runtime = "/no/such/runtime";
  CHECK(supervisor::start(o).why().code == ec::runtime_missing);
  o = r.options("c");
  fs::create_directories(o.state_dir);
  std::ofstream(o.socket) << "a file";
  CHECK(supervisor::start(o).why().code == ec::already_exists);
  o = r.options();
  o.cgroup_parent = "/a";
  CHECK(supervisor::start(o).why().message.find("cgroup_parent \"/a\"") != std::string::npos);
  connect_options c;
  c.socket = r.dir + "/nobody.sock";
  CHECK(supervisor::connect(c).why().code == ec::unavailable);
  c.socket = std::string(200, 'x');
  CHECK(supervisor::connect(c).why().code == ec::invalid_argument);
}

TEST_CASE("library: the cgroup driver is an option, and told", "[root][uring]") {
  rig r;
  auto o = r.options();
  o.cgroup_driver = "docker";
  const auto unknown = supervisor::start(o);
  CHECK(unknown.why().code == ec::invalid_argument);
  CHECK(unknown.why().message.find("cgroup_driver \"docker\"") != std::string::npos);
  o.cgroup_driver = "systemd";
  o.cgroup_parent = r.parent(); // No slice.
  const auto no_slice = supervisor::start(o);
  CHECK(no_slice.why().code == ec::invalid_argument);
  CHECK(no_slice.why().message.find("cgroup_parent") != std::string::npos);
  o.cgroup_parent = start_options{}.cgroup_parent; // The default: gantry.slice.
  if (!fs::exists("/run/systemd/system")) {
    const auto refused = supervisor::start(o);
    CHECK(refused.why().code == ec::unavailable);
    CHECK(refused.why().message.find("cgroup_driver systemd") != std::string::npos);
    CHECK(refused.why().cure.find("cgroup_driver cgroupfs") != std::string::npos);
  }
  const auto told = got(r.start().info());
  CHECK(told->cgroup_driver == "cgroupfs");
  CHECK(told->cgroup_parent == r.parent());
}
