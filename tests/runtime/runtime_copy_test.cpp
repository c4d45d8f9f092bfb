#include "runtime/runtime_copy.hpp"

#include <cerrno>
#include <sys/resource.h>

#include "host_rig.hpp"
#include "runtime/oci_command.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

namespace {

/// A program named runc that says who started it, and a copy of it by need.
class copy_rig : public host_rig {
public:
  copy_rig() {
    std::filesystem::create_directories(dir + "/bin");
    std::filesystem::create_directories(dir + "/links");
    program = dir + "/bin/runc";
    std::filesystem::copy_file("/bin/busybox", program);
    policy.rest = tests::scaled(1h);
  }

  void begin() {
    copy.emplace(*loop, program, dir + "/links", policy,
                 [this](const std::string& path, const std::function<void(bool)>& works) {
                   ++trials;
                   tried = path;
                   loop->post([works, this] { works(may_run); });
                 });
  }

  std::string ask() {
    std::optional<std::string> got;
    copy->ask([&got](const std::string& path) { got = path; });
    REQUIRE(until([&got] { return got.has_value(); }));
    return *got;
  }

  /// As often as makes a copy worth its memory; then until it is there.
  bool ask_until_copied() {
    for (uint32_t i = 0; i < policy.worth_calls; ++i)
      CHECK(ask() == program);
    return until([this] { return trials > 0; }) && until([this] { return ask() == link(); }, 5s);
  }

  int exit_code_of_copy(std::vector<std::string> argv) {
    io::spawn_request what;
    what.path = link();
    what.argv = std::move(argv);
    const io::fd null(*kernel, static_cast<io::kernel&>(*kernel).open("/dev/null", O_RDWR));
    what.fds = {{null.get(), 0}, {null.get(), 1}, {null.get(), 2}};
    io::child child;
    REQUIRE(kernel->spawn(what, child) == 0);
    const io::fd pidfd(*kernel, child.pidfd);
    io::exit_status end;
    REQUIRE(until([&] { return kernel->reap(child.pidfd, end) == 0; }));
    return end.code;
  }

  [[nodiscard]] std::string link() const { return dir + "/links/runc"; }

  copy_policy policy;
  std::string program;
  std::optional<runtime_copy> copy;
  bool may_run = true;
  int trials = 0;
  std::string tried;
};

} // namespace

TEST_CASE("runtime copy: what is called often is started from sealed memory") {
  copy_rig rig;
  rig.begin();
  REQUIRE(rig.ask_until_copied());
  CHECK(rig.trials == 1);
  CHECK(rig.tried == rig.link());
  CHECK(rig.slurp(rig.link()) == rig.slurp(rig.program));
  // Whoever starts it finds himself in a memfd that nobody can write to.
  const int fd = ::open(rig.link().c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  CHECK(::fcntl(fd, F_GET_SEALS) == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  ::close(fd);
  CHECK(rig.exit_code_of_copy({"busybox", "false"}) == 1);
  CHECK(rig.exit_code_of_copy({"busybox", "true"}) == 0);
  rig.copy.reset();
  CHECK_FALSE(std::filesystem::exists(std::filesystem::symlink_status(rig.link())));
}

TEST_CASE("runtime copy: another program at its path is started by the very next call") {
  copy_rig rig;
  rig.begin();
  REQUIRE(rig.ask_until_copied());
  SECTION("renamed into place, as a package manager does") {
    std::filesystem::copy_file("/bin/sh", rig.dir + "/new");
    std::filesystem::rename(rig.dir + "/new", rig.program);
  }
  SECTION("written over") {
    std::filesystem::copy_file("/bin/sh", rig.program,
                               std::filesystem::copy_options::overwrite_existing);
  }
  CHECK(rig.ask() == rig.program);
  rig.trials = 0;
  REQUIRE(rig.ask_until_copied()); // In time the new one has a copy, too.
  CHECK(rig.slurp(rig.link()) == rig.slurp("/bin/sh"));
}

TEST_CASE("runtime copy: its memory is given back when nobody calls") {
  copy_rig rig;
  rig.policy.rest = 50ms;
  rig.begin();
  REQUIRE(rig.ask_until_copied());
  CHECK(rig.until([&rig] {
    return !std::filesystem::exists(std::filesystem::symlink_status(rig.link()));
  }));
  CHECK(rig.ask() == rig.program);
}

TEST_CASE("runtime copy: what cannot be run from memory goes on by its path") {
  copy_rig rig;
  SECTION("a host that forbids it") { rig.may_run = false; }
  SECTION("a script, which wants its own path") {
    host_rig::spill(rig.program, "#!/bin/sh\n");
  }
  SECTION("a program that does not copy itself") {
    rig.program = rig.dir + "/bin/other";
    std::filesystem::copy_file("/bin/busybox", rig.program);
  }
  SECTION("nothing is wanted") { rig.policy.wanted = false; }
  rig.begin();
  for (int round = 0; round < 50; ++round) {
    CHECK(rig.ask() == rig.program);
    rig.loop->turn(false);
  }
  CHECK(rig.trials <= 1); // One that is refused is not tried again.
}

TEST_CASE("runtime copy: a call that cannot be started gives its place to the next", "[runc]") {
  copy_rig rig;
  const auto found = find_runtime(*rig.kernel, "runc", false);
  REQUIRE(found.ok());
  std::filesystem::copy_file(*found, rig.program,
                             std::filesystem::copy_options::overwrite_existing);
  engine_policy policy;
  policy.max_in_flight = 1;
  policy.copy.worth_calls = 1;
  std::vector<oci_end> ends;
  oci_commands commands(*rig.loop, *rig.reaper, rig.dir + "/runc-root", policy);
  const auto call = [&] {
    oci_call x;
    x.step = "version";
    x.runtime = rig.program;
    x.argv = {"runc", "--version"};
    x.deadline = tests::scaled(20s);
    REQUIRE(commands.run(x, [&](oci_end end) {
      commands.settled(end);
      ends.push_back(std::move(end));
    }));
  };
  call();
  const auto link = rig.dir + "/runc-root-programs/0/runc";
  REQUIRE(rig.until([&] { return std::filesystem::exists(link); }));
  call(); // Behind the trial: from now on each call looks at the file first.
  REQUIRE(rig.until([&] { return ends.size() == 2; }));
  CHECK((ends[0].fine() && ends[1].fine()));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{3, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  for (int i = 0; i < 3; ++i)
    call();
  const bool all = rig.until([&] { return ends.size() == 5; }, 5s);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(all);
  for (size_t i = 2; i < ends.size(); ++i)
    CHECK(ends[i].spawn_error == EMFILE);
}

TEST_CASE("runtime copy: real runc works from it", "[root][runc]") {
  engine_policy policy;
  policy.copy.worth_calls = 2;
  engine_rig rig(policy);
  auto init = rig.create("a", rig.spec({"/bin/sleep", "1000"}), true);
  REQUIRE(init.ok());
  auto link = rig.dir + "/runc-programs/0/runc";
  v1::ProcessSpec p;
  for (const char* word : {"/bin/sh", "-c", "exit 5"})
    p.add_args(word);
  auto made = rig.exec("a", p);
  REQUIRE(made.ok());
  CHECK(rig.end_of(*made) == 5);
  REQUIRE(rig.until([&link] { return std::filesystem::exists(link); }));
  const auto before = rig.engine->stats().commands;
  REQUIRE(rig.until([&rig, before] { return rig.engine->stats().commands >= before; }));
  rig.kill(*init, SIGKILL);
  CHECK(rig.end_of(*init) == 128 + SIGKILL);
  CHECK(rig.remove("a", false).ok());
}
