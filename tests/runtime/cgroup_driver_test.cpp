#include "runtime/cgroup_driver.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/linux_kernel.hpp"
#include "runtime/bundle.hpp"
#include "runtime/config_parts.hpp"

using namespace gantry;
using namespace gantry::runtime;

TEST_CASE("cgroup driver: a dash in a slice's name leads one level down") {
  CHECK(slice_path("gantry.slice") == "/gantry.slice");
  CHECK(slice_path("a-b.slice") == "/a.slice/a-b.slice");
  CHECK(slice_path("a-b-c.d.slice") == "/a.slice/a-b.slice/a-b-c.d.slice");
}

TEST_CASE("cgroup driver: what is no name of a slice is refused") {
  for (const char* name : {"gantry.slice", "a-b.slice", "a_b.1.slice", "A-1-x.slice"})
    CHECK(check_slice("x", name).ok());
  for (const char* name : {"", ".slice", "-.slice", "gantry", "gantry.scope", "-a.slice",
                           "a-.slice", "a--b.slice", "a/b.slice", "../a.slice", "a b.slice",
                           "a:b.slice", "a\xff.slice", "a\\x2d.slice"}) {
    const auto got = check_slice("--cgroup-parent", name);
    REQUIRE_FALSE(got.ok());
    CHECK(got.why().code == ec::invalid_argument);
    CHECK(got.why().message.find("--cgroup-parent") == 0);
    CHECK_FALSE(got.why().cure.empty());
  }
  CHECK_FALSE(check_slice("x", std::string(250, 'a') + ".slice").ok());
  CHECK(check_home_slice("x", std::string(56, 'a') + ".slice").ok());
  CHECK_FALSE(check_home_slice("x", std::string(57, 'a') + ".slice").ok());
}

TEST_CASE("cgroup driver: a container has a scope of its own, where each runtime makes it") {
  const container_name web{"default", "web.1"};
  const auto runc = scope_place("gantry.slice", "gantry.slice", web, "/usr/sbin/runc");
  CHECK(runc.path == "/gantry.slice/gantry-default.web.1.scope");
  CHECK(runc.keep == "/gantry.slice");
  CHECK(runc.unit == "gantry.slice:gantry:default.web.1");
  const auto crun = scope_place("gantry.slice", "t-a.slice", web, "/usr/bin/crun");
  CHECK(crun.path == "/t.slice/t-a.slice/gantry-default.web.1.scope/container");
  CHECK(crun.keep == "/t.slice/t-a.slice/gantry-default.web.1.scope");
  CHECK(crun.unit == "t-a.slice:gantry:default.web.1");
  // The longest name of a unit that can come out.
  const container_name longest{std::string(63, 'n'), std::string(128, 'i')};
  CHECK(scope_name(std::string(56, 'a') + ".slice", longest).size() == 255);
}

TEST_CASE("cgroup driver: a scope tells its container, and only of this home") {
  const container_name web{"default", "web.1"};
  CHECK(container_of_scope("gantry.slice", "gantry-default.web.1.scope") == web);
  CHECK(container_of_scope("gantry.slice", "session-1.scope").id.empty());
  CHECK(container_of_scope("gantry.slice", "gantry-default.scope").ns.empty());
  CHECK(container_of_scope("gantry.slice", "gantry-default.web.service").id.empty());
}

TEST_CASE("cgroup driver: the runtimes hear of the scope by annotations") {
  bundle_request req;
  req.name = {"default", "web"};
  req.spec.set_rootfs("/srv");
  req.spec.add_args("/bin/true");
  req.cgroup = "gantry.slice:gantry:default.web";
  const auto without = make_config(req);
  CHECK_FALSE(without.contains("annotations"));
  req.by_systemd = true;
  req.before_unit = "gantry.service";
  auto config = make_config(req);
  CHECK(config["linux"]["cgroupsPath"] == req.cgroup);
  CHECK(config["annotations"]["run.oci.systemd.subgroup"] == "container");
  CHECK(config["annotations"]["org.systemd.property.Before"] == "['gantry.service']");
  CHECK(config["annotations"].contains("org.systemd.property.TasksMax"));
  req.spec.mutable_resources()->set_pids_limit(7);
  req.before_unit.clear();
  config = make_config(req);
  CHECK(config["linux"]["resources"]["pids"]["limit"] == 7);
  CHECK_FALSE(config["annotations"].contains("org.systemd.property.TasksMax"));
  CHECK_FALSE(config["annotations"].contains("org.systemd.property.Before"));
}

TEST_CASE("cgroup driver: what of systemd is missing is said, with a way out", "[uring]") {
  namespace fs = std::filesystem;
  auto kernel = io::linux_kernel::make();
  REQUIRE(kernel.ok());
  auto& k = **kernel;
  char name[] = "/tmp/gantry-driver-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string top = name;
  cgroup_host host;
  auto missing = [&](const std::string& word) {
    const auto got = check_systemd(k, host, top);
    REQUIRE_FALSE(got.ok());
    CHECK(got.why().message.find(word) != std::string::npos);
    CHECK(got.why().cure.find("cgroupfs") != std::string::npos);
  };
  missing("there is no /run/systemd/system");
  fs::create_directories(top + "/run/systemd/system");
  fs::create_directories(top + "/run/dbus");
  host.mode = cgroup_mode::hybrid;
  missing("hybrid");
  host.mode = cgroup_mode::v2;
  missing("system_bus_socket");
  const int bus = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  (top + "/run/dbus/system_bus_socket").copy(at.sun_path, sizeof(at.sun_path) - 1);
  REQUIRE(::bind(bus, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0);
  missing("system_bus_socket"); // Nobody listens.
  REQUIRE(::listen(bus, 1) == 0);
  CHECK(check_systemd(k, host, top).ok());
  ::close(bus);
  fs::remove_all(top);
}
