#include "runtime/config_parts.hpp"

#include <catch2/catch.hpp>
#include <chrono>

#include "runtime/bundle.hpp"
#include "tests/slower.hpp"

using namespace gantry;
using namespace gantry::runtime;
using nlohmann::json;

namespace {

bundle_request request() {
  bundle_request req;
  req.name = {"default", "web"};
  req.spec.set_rootfs("/srv/root");
  req.spec.add_args("/bin/true");
  req.dir = "/run/x";
  req.cgroup = "/gantry/default/web";
  return req;
}

json client_config() {
  return json::parse(R"({
    "ociVersion": "1.0.2",
    "process": {"args": ["sh"], "cwd": "/", "env": ["PATH=/bin", "A=1"],
                "user": {"uid": 0, "gid": 0, "additionalGids": [5]}},
    "root": {"path": "rootfs"},
    "hooks": {"poststop": [{"path": "/bin/true"}]},
    "mounts": [{"destination": "/data", "source": "data", "options": ["rbind", "ro"]},
               {"destination": "/proc", "type": "proc", "source": "proc"},
               {"destination": "/abs", "type": "bind", "source": "/abs"}],
    "linux": {"resources": {"memory": {"limit": 1000, "swappiness": 10}}}
  })");
}

bundle_request adopting() {
  auto req = request();
  req.spec.clear_rootfs();
  req.spec.clear_args();
  req.spec.set_bundle("/home/b");
  return req;
}

bool has_namespace(const json& config, const char* type) {
  for (const auto& ns : config["linux"]["namespaces"])
    if (ns["type"] == type)
      return true;
  return false;
}

} // namespace

TEST_CASE("the config of a root filesystem is complete and safe by default") {
  auto config = make_config(request());
  CHECK(config["ociVersion"] == "1.0.2");
  CHECK(config["process"]["args"] == json::array({"/bin/true"}));
  CHECK(config["process"]["noNewPrivileges"] == true);
  CHECK(config["process"]["cwd"] == "/");
  CHECK(config["process"]["env"].size() == 1);
  CHECK(config["process"]["capabilities"]["bounding"].size() == 14);
  CHECK_FALSE(config["process"]["capabilities"].contains("inheritable"));
  CHECK_FALSE(config["process"].contains("oomScoreAdj"));
  CHECK(config["root"]["path"] == "/srv/root");
  CHECK(config["hostname"] == "web");
  CHECK(config["linux"]["cgroupsPath"] == "/gantry/default/web");
  for (const char* type : {"pid", "ipc", "uts", "mount", "network", "cgroup"})
    CHECK(has_namespace(config, type));
  CHECK(config["linux"]["resources"]["devices"][0]["allow"] == false);
  CHECK(config["linux"]["maskedPaths"].size() > 8);
  CHECK(config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO");
  for (const auto& mount : config["mounts"])
    CHECK(mount["options"].is_array());
}

TEST_CASE("the network of the host is the missing namespace") {
  auto req = request();
  req.spec.set_network("host");
  CHECK_FALSE(has_namespace(make_config(req), "network"));
}

TEST_CASE("options of the spec stand in the config") {
  auto req = request();
  req.spec.add_env("PATH=/x");
  req.spec.add_env("B=2");
  req.spec.set_user("7:8");
  req.spec.set_workdir("/w");
  req.spec.set_read_only(true);
  req.spec.set_hostname("h");
  (*req.spec.mutable_annotations())["k"] = "v";
  auto config = make_config(req);
  CHECK(config["process"]["env"] == json::array({"PATH=/x", "B=2"}));
  CHECK(config["process"]["user"] == json({{"uid", 7}, {"gid", 8}}));
  CHECK(config["process"]["cwd"] == "/w");
  CHECK(config["root"]["readonly"] == true);
  CHECK(config["hostname"] == "h");
  CHECK(config["annotations"]["k"] == "v");
}

TEST_CASE("limits become the runtime's numbers, and what is not set is not there") {
  v1::Resources r;
  CHECK(resources_json(r).empty());
  r.set_memory_bytes(64 << 20);
  r.set_memory_swap_bytes(-1);
  r.set_nano_cpus(1'500'000'000);
  r.set_pids_limit(10);
  r.set_cpuset_cpus("0");
  auto got = resources_json(r);
  CHECK(got["memory"] == json({{"limit", 64 << 20}, {"swap", -1}}));
  CHECK(got["cpu"] == json({{"quota", 150'000}, {"period", 100'000}, {"cpus", "0"}}));
  CHECK(got["pids"]["limit"] == 10);
}

TEST_CASE("the text with seccomp spliced in is the whole config") {
  auto req = request();
  (*req.spec.mutable_annotations())["linux"] = "\"linux\":{";
  CHECK(json::parse(config_text(config_without_seccomp(req), true)) == make_config(req));
}

TEST_CASE("a client's config becomes ours without losing what it says") {
  auto req = adopting();
  auto got = adopt_config(req, client_config());
  REQUIRE(got.ok());
  CHECK((*got)["root"]["path"] == "/home/b/rootfs");
  CHECK((*got)["mounts"][0]["source"] == "/home/b/data");
  CHECK((*got)["mounts"][1]["source"] == "proc");
  CHECK((*got)["mounts"][2]["source"] == "/abs");
  CHECK((*got)["linux"]["cgroupsPath"] == "/gantry/default/web");
  CHECK((*got)["hooks"] == client_config()["hooks"]);
  CHECK((*got)["process"] == client_config()["process"]);
}

TEST_CASE("command, environment and limits of the spec lie over the client's config") {
  auto req = adopting();
  req.spec.add_args("ls");
  req.spec.add_env("A=2");
  req.spec.add_env("B=3");
  req.spec.mutable_resources()->set_memory_bytes(64 << 20);
  auto got = adopt_config(req, client_config());
  REQUIRE(got.ok());
  CHECK((*got)["process"]["args"] == json::array({"ls"}));
  CHECK((*got)["process"]["env"] == json::array({"PATH=/bin", "A=2", "B=3"}));
  CHECK((*got)["linux"]["resources"]["memory"]
        == json({{"limit", 64 << 20}, {"swappiness", 10}}));
}

TEST_CASE("a config that names no version gets one") {
  auto config = client_config();
  config.erase("ociVersion");
  auto got = adopt_config(adopting(), config);
  REQUIRE(got.ok());
  CHECK((*got)["ociVersion"] == "1.0.2");
}

TEST_CASE("what is no OCI config is refused by name") {
  auto refused = [](const json& config) {
    auto got = adopt_config(adopting(), config);
    REQUIRE_FALSE(got.ok());
    CHECK_FALSE(got.why().cure.empty());
    return got.why();
  };
  auto changed = [&refused](const char* pointer, json value) {
    auto config = client_config();
    config[json::json_pointer(pointer)] = std::move(value);
    return refused(config).message;
  };
  CHECK(refused(json::array()).message == "config.json: is not a JSON object");
  CHECK(refused(json::object()).message == "config.json: process is missing");
  CHECK(changed("/process/args", json::array()).starts_with("config.json: process.args"));
  CHECK(changed("/process/args", "sh").starts_with("config.json: process.args"));
  CHECK(changed("/process/env", {1, 2, 3}).starts_with("config.json: process.env"));
  CHECK(changed("/process/cwd", nullptr).starts_with("config.json: process.cwd"));
  CHECK(changed("/process/cwd", "/proc/self/fd/8").starts_with("config.json: process.cwd"));
  CHECK(changed("/root", nullptr) == "config.json: root is missing");
  CHECK(changed("/root/path", 5) == "config.json: root.path is missing");
  CHECK(changed("/mounts", "x") == "config.json: mounts is not an array");
  CHECK(changed("/mounts/0", 7) == "config.json: an entry of mounts is not an object");
  CHECK(changed("/linux", 1) == "config.json: linux is not an object");
  for (const char* version : {"99.0.2", "", "10"})
    CHECK(changed("/ociVersion", version).starts_with("config.json: ociVersion"));
  CHECK(changed("/ociVersion", 1).starts_with("config.json: ociVersion"));
  auto terminal = client_config();
  terminal["process"]["terminal"] = true;
  CHECK(refused(terminal).message.starts_with("config.json: process.terminal is true"));
}

TEST_CASE("an exec is the container's process with its own parts over it") {
  v1::ProcessSpec spec;
  spec.add_args("id");
  spec.add_env("A=9");
  spec.set_workdir("/tmp");
  spec.set_user("5");
  spec.add_capabilities("kill");
  spec.set_no_new_privileges(false);
  spec.set_apparmor_profile("p");
  auto* limit = spec.add_rlimits();
  limit->set_type("RLIMIT_CORE");
  limit->set_hard(3);
  auto config = client_config();
  config["process"]["consoleSize"] = {{"height", 1}, {"width", 1}};
  auto got = exec_process(config, spec);
  REQUIRE(got.ok());
  CHECK((*got)["args"] == json::array({"id"}));
  CHECK((*got)["env"] == json::array({"PATH=/bin", "A=9"}));
  CHECK((*got)["cwd"] == "/tmp");
  CHECK((*got)["user"] == json({{"uid", 5}, {"gid", 0}}));
  CHECK((*got)["capabilities"]["effective"] == json::array({"CAP_KILL"}));
  CHECK((*got)["noNewPrivileges"] == false);
  CHECK((*got)["apparmorProfile"] == "p");
  CHECK((*got)["rlimits"][0]["hard"] == 3);
  CHECK_FALSE(got->contains("consoleSize"));
  spec.clear_capabilities();
  spec.clear_no_new_privileges();
  spec.clear_apparmor_profile();
  config["process"]["apparmorProfile"] = "the container's";
  spec.set_privileged(true);
  got = exec_process(config, spec, 0b100001);
  REQUIRE(got.ok());
  CHECK((*got)["capabilities"]["bounding"] == json::array({"CAP_CHOWN", "CAP_KILL"}));
  CHECK((*got)["noNewPrivileges"] == false);
  CHECK_FALSE(got->contains("apparmorProfile"));
  spec.add_capabilities("KILL");
  CHECK_FALSE(exec_process(config, spec).ok());
  spec.clear_capabilities();
  for (auto wrong : {-1ll, 86'400'000'000'001ll}) {
    spec.set_timeout_ns(wrong);
    CHECK_FALSE(exec_process(config, spec).ok());
  }
  spec.clear_timeout_ns();
  spec.set_ttl_ns(-1);
  CHECK_FALSE(exec_process(config, spec).ok());
  spec.clear_ttl_ns();
  spec.set_workdir("/proc/self/fd/3");
  CHECK_FALSE(exec_process(config, spec).ok());
}

TEST_CASE("a terminal has its size, and TERM if nobody has set it") {
  auto req = request();
  req.spec.set_terminal(true);
  req.spec.mutable_terminal_size()->set_width(120);
  req.spec.mutable_terminal_size()->set_height(40);
  const auto has_term = [](const json& process, const char* text) {
    const auto& env = process["env"];
    return std::count(env.begin(), env.end(), json(text)) == 1;
  };
  auto config = make_config(req);
  CHECK(config["process"]["terminal"] == true);
  CHECK(config["process"]["consoleSize"] == json({{"width", 120}, {"height", 40}}));
  CHECK(has_term(config["process"], "TERM=xterm"));
  v1::ProcessSpec spec;
  spec.add_args("sh");
  CHECK(exec_process(config, spec)->at("terminal") == false);
  spec.set_terminal(true);
  spec.add_env("TERM=dumb");
  auto got = exec_process(config, spec);
  REQUIRE(got.ok());
  CHECK((*got)["terminal"] == true);
  CHECK_FALSE(got->contains("consoleSize"));
  CHECK(has_term(*got, "TERM=dumb"));
  auto client = adopting();
  client.spec.set_terminal(true);
  auto adopted = adopt_config(client, client_config());
  REQUIRE(adopted.ok());
  CHECK((*adopted)["process"]["terminal"] == true);
}

TEST_CASE("JSON that is none is refused with its line, and deep nesting without harm") {
  auto bad = parse_json("{\n  \"a\": 1,\n  oops\n}", "/b/config.json");
  REQUIRE_FALSE(bad.ok());
  CHECK(bad.why().message.starts_with("/b/config.json: is not JSON"));
  CHECK(bad.why().message.find("line 3, column 3") != std::string::npos);
  auto deep = parse_json(std::string(4u << 20, '['), "x");
  REQUIRE_FALSE(deep.ok());
  CHECK(deep.why().message.find("nested deeper than 100") != std::string::npos);
  CHECK_FALSE(parse_json("", "x").ok());
  CHECK_FALSE(parse_json("\"\xff\"", "x").ok());
  CHECK(parse_json("{\"a\": \"[[[[\\\"[[[\"}", "x").ok());
}

TEST_CASE("making a config and its text costs the loop well under a millisecond") {
  auto req = request();
  (void)config_text(config_without_seccomp(req), true); // the shared parts are made once
  auto began = std::chrono::steady_clock::now();
  constexpr int times = 200;
  size_t bytes = 0;
  for (int i = 0; i < times; ++i)
    bytes += config_text(config_without_seccomp(req), true).size();
  auto each = (std::chrono::steady_clock::now() - began) / times;
  auto each_us = std::chrono::duration<double, std::micro>(each).count();
  WARN(each_us << " us for " << bytes / times << " bytes");
  CHECK(each < tests::scaled(std::chrono::milliseconds(1)));
}
