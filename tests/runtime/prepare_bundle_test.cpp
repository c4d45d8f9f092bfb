#include "runtime/bundle.hpp"

#include <catch2/catch.hpp>

#include "host_rig.hpp"

using namespace gantry;
using namespace gantry::runtime;
using namespace gantry::runtime::testing;

TEST_CASE("a bundle that is missing, unreadable or no OCI bundle is refused by name",
          "[root][uring]") {
  engine_rig rig;
  auto refused = [&rig](const std::string& bundle) {
    v1::ContainerSpec spec;
    spec.set_bundle(bundle);
    auto got = rig.prepare("a", spec);
    REQUIRE_FALSE(got.ok());
    CHECK_FALSE(got.why().cure.empty());
    CHECK(got.why().message.find(bundle) != std::string::npos);
    return got.why();
  };
  CHECK(refused("/nowhere/b").code == ec::not_found);
  CHECK(refused("/bin/busybox").code == ec::invalid_argument);
  auto dir = rig.dir + "/b";
  std::filesystem::create_directories(dir);
  CHECK(refused(dir).message == "bundle " + dir + ": has no config.json");
  host_rig::spill(dir + "/config.json", "{\n oops");
  CHECK(refused(dir).message.find("line 2") != std::string::npos);
  host_rig::spill(dir + "/config.json", "{}");
  CHECK(refused(dir).message == "bundle " + dir + ": config.json: process is missing");
  host_rig::spill(dir + "/config.json",
                  R"({"process": {"args": ["x"], "cwd": "/"}, "root": {"path": "none"}})");
  auto why = refused(dir);
  CHECK(why.message == "rootfs " + dir + "/none: does not exist");
  host_rig::spill(dir + "/config.json", std::string(5u << 20, ' '));
  CHECK(refused(dir).code == ec::resource_exhausted);
  std::filesystem::remove(dir + "/config.json");
  std::filesystem::create_symlink("/etc/passwd", dir + "/config.json");
  CHECK_FALSE(refused(dir).code == ec::internal); // it leads out of the bundle
  auto file = rig.spec({"/bin/true"});
  file.set_rootfs("/bin/busybox");
  CHECK(rig.prepare("a", file).why().message == "rootfs /bin/busybox: is not a directory");
  CHECK_FALSE(std::filesystem::exists(rig.dir + "/state")); // nothing was made
}

TEST_CASE("a bundle in memory is written at once, and is the same", "[root][uring]") {
  engine_rig rig;
  bundle_request req{{"default", "c"}, rig.spec({"/bin/true", "x"}), rig.dir + "/some/where/c",
                     "/gantry/default/c"};
  const bool confined = GENERATE(true, false);
  if (!confined)
    req.spec.set_privileged(true);
  std::string texts[2];
  for (const bool at_once : {false, true}) {
    req.on_tmpfs = at_once;
    std::optional<result<prepared_bundle>> got;
    prepare_bundle(*rig.loop, req,
                   [&got](result<prepared_bundle> x) { got.emplace(std::move(x)); });
    REQUIRE(rig.until([&got] { return got.has_value(); }));
    REQUIRE(got->ok());
    CHECK((*got)->args == std::vector<std::string>{"/bin/true", "x"});
    texts[at_once] = host_rig::slurp((*got)->dir + "/config.json");
    CHECK_FALSE(std::filesystem::exists((*got)->dir + "/config.json.tmp"));
    std::filesystem::remove_all(rig.dir + "/some");
  }
  CHECK(texts[0] == texts[1]);
  const auto config = nlohmann::json::parse(texts[1]);
  CHECK((config["linux"].value("seccomp", nlohmann::json()) != nullptr) == confined);
}

TEST_CASE("a bundle says what its command was, and is removed with all files in it",
          "[root][uring]") {
  engine_rig rig;
  auto made = rig.prepare("a", rig.spec({"/bin/true", "x"}));
  REQUIRE(made.ok());
  CHECK(made->args == std::vector<std::string>{"/bin/true", "x"});
  CHECK(made->rootfs == rig.root);
  auto command = [&rig, &made] {
    std::optional<result<std::vector<std::string>>> got;
    read_command(*rig.loop, made->dir, [&got](auto x) { got = std::move(x); });
    REQUIRE(rig.until([&got] { return got.has_value(); }));
    return *got;
  };
  CHECK(*command() == made->args);
  host_rig::spill(made->dir + "/config.json", R"({"process": {"args": [1]}})");
  CHECK_FALSE(command().ok());
  host_rig::spill(made->dir + "/left.log", "x");
  bool gone = false;
  remove_bundle(*rig.loop, made->dir, [&gone] { gone = true; });
  CHECK(rig.until([&gone] { return gone; }));
  CHECK_FALSE(std::filesystem::exists(made->dir));
}
