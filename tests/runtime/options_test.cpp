#include "runtime/bundle.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "runtime/seccomp.hpp"

// What a container sees and may do: the options of a spec in its config.

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

v1::Mount& add_mount(bundle_request& req, const char* type, const char* source,
                     const char* target) {
  auto& m = *req.spec.add_mounts();
  m.set_type(type);
  m.set_source(source);
  m.set_target(target);
  return m;
}

json mounts_at(const json& config, std::string_view target) {
  json out = json::array();
  for (const auto& m : config["mounts"])
    if (m["destination"] == target)
      out.push_back(m);
  return out;
}

/// The spec is refused, with this word in the message; a cure is there.
void refused(const bundle_request& req, const std::string& word) {
  auto done = check_spec(req.spec);
  REQUIRE_FALSE(done.ok());
  INFO(done.why().text());
  CHECK(done.why().code == ec::invalid_argument);
  CHECK(done.why().message.find(word) != std::string::npos);
  CHECK_FALSE(done.why().cure.empty());
}

json checked_config(const bundle_request& req) {
  auto done = check_spec(req.spec);
  INFO((done ? std::string() : done.why().text()));
  REQUIRE(done.ok());
  return make_config(req);
}

} // namespace

TEST_CASE("options: binds and tmpfs stand behind the default mounts, parents first") {
  auto req = request();
  add_mount(req, "bind", "/srv/in", "/data/in").set_read_only(true);
  add_mount(req, "bind", "/srv/data", "/data/");
  add_mount(req, "tmpfs", "", "/tmp").add_options("size=1m");
  auto config = checked_config(req);
  const auto& all = config["mounts"];
  CHECK(all[all.size() - 1]["destination"] == "/data/in");
  CHECK(mounts_at(config, "/data")[0]["options"] == json::array({"rbind", "rprivate"}));
  CHECK(mounts_at(config, "/data/in")[0]["options"] == json::array({"rbind", "rprivate", "ro"}));
  CHECK(mounts_at(config, "/tmp")[0]["options"]
        == json::array({"nosuid", "nodev", "noexec", "mode=1777", "size=1m"}));
}

TEST_CASE("options: a mount takes the place of gantry's own there and below") {
  auto req = request();
  add_mount(req, "bind", "/dev", "/dev").add_options("rslave");
  auto config = checked_config(req);
  CHECK(mounts_at(config, "/dev").size() == 1);
  CHECK(mounts_at(config, "/dev")[0]["options"] == json::array({"rbind", "rslave"}));
  CHECK(mounts_at(config, "/dev/pts").empty());
  CHECK(mounts_at(config, "/sys").size() == 1);
}

TEST_CASE("options: mounts that cannot work are refused with a cure") {
  auto with = [](const char* type, const char* source, const char* target, const char* option) {
    auto req = request();
    auto& m = add_mount(req, type, source, target);
    if (*option)
      m.add_options(option);
    return req;
  };
  refused(with("nfs", "", "/x", ""), "mounts.type");
  refused(with("bind", "rel", "/x", ""), "mounts.source");
  refused(with("bind", "/a", "x", ""), "mounts.target");
  refused(with("bind", "/a", "/", ""), "mounts.target");
  refused(with("bind", "/a", "/x/../..", ""), "mounts.target");
  refused(with("bind", "/a", "/proc/1", ""), "/proc");
  refused(with("bind", "/a", "/x", "size=1"), "size=1");
  refused(with("bind", "/a", "/x", "ro,exec"), "ro,exec");
  refused(with("tmpfs", "/a", "/x", ""), "source");
  refused(with("tmpfs", "", "/x", "rshared"), "rshared");
  auto twice = with("tmpfs", "", "/x", "");
  add_mount(twice, "bind", "/a", "/x/");
  refused(twice, "two of them");
  auto both = with("bind", "/a", "/x", "rw");
  both.spec.mutable_mounts(0)->set_read_only(true);
  refused(both, "read_only");
  auto shm = with("tmpfs", "", "/dev/shm", "");
  shm.spec.set_shm_bytes(1);
  refused(shm, "shm_bytes");
}

TEST_CASE("options: capabilities are dropped, then added") {
  auto req = request();
  req.spec.add_cap_drop("ALL");
  req.spec.add_cap_add("net_admin");
  auto config = checked_config(req);
  CHECK(config["process"]["capabilities"]["bounding"] == json::array({"CAP_NET_ADMIN"}));
  req = request();
  req.spec.add_cap_add("ALL");
  req.spec.add_cap_drop("SYS_ADMIN");
  config = checked_config(req);
  CHECK(config["process"]["capabilities"]["effective"].size() == 40);
  req.host.capabilities = 0b11; // gantryd's own.
  CHECK(make_config(req)["process"]["capabilities"]["bounding"]
        == json::array({"CAP_CHOWN", "CAP_DAC_OVERRIDE"}));
  req = request();
  req.spec.add_cap_drop("CAP_CHOWN");
  CHECK(checked_config(req)["process"]["capabilities"]["permitted"].size() == 13);
}

TEST_CASE("options: what contradicts itself is refused") {
  auto req = request();
  req.spec.set_privileged(true);
  req.spec.add_cap_drop("ALL");
  refused(req, "contradict");
  req = request();
  req.spec.add_cap_add("KILL");
  req.spec.add_cap_drop("CAP_KILL");
  refused(req, "both");
  req = request();
  req.spec.add_cap_add("FLY");
  refused(req, "cap_add");
  req = request();
  req.spec.set_network("host");
  (*req.spec.mutable_sysctls())["net.core.somaxconn"] = "5";
  refused(req, "network host");
  req = request();
  (*req.spec.mutable_sysctls())["kernel.panic"] = "1";
  refused(req, "kernel.panic");
  req = request();
  req.spec.set_oom_score_adj(1001);
  refused(req, "oom_score_adj");
  req = request();
  req.spec.set_cgroup_parent("../x");
  refused(req, "cgroup_parent");
  req = request();
  req.spec.add_devices()->set_host_path("/etc/passwd");
  refused(req, "devices.host_path");
  req = request();
  auto* limit = req.spec.add_rlimits();
  limit->set_type("RLIMIT_NOFILE");
  limit->set_soft(2);
  limit->set_hard(1);
  refused(req, "soft 2");
  req = request();
  req.spec.mutable_security()->set_seccomp_agent("/run/a");
  refused(req, "no profile");
  req = request();
  req.spec.mutable_security()->set_selinux("x");
  refused(req, "selinux");
}

TEST_CASE("options: privileged is everything, and what is said beside it still holds") {
  auto req = request();
  req.spec.set_privileged(true);
  req.host.devices.push_back({"/dev/fuse", 'c', 10, 229, 0666, 0, 0, "rwm"});
  auto config = checked_config(req);
  CHECK(config["process"]["capabilities"]["bounding"].size() == 41);
  CHECK(config["process"]["noNewPrivileges"] == false);
  CHECK_FALSE(config["linux"].contains("seccomp"));
  CHECK_FALSE(config["linux"].contains("maskedPaths"));
  CHECK(config["linux"]["resources"]["devices"]
        == json::array({{{"allow", true}, {"access", "rwm"}}}));
  CHECK(config["linux"]["devices"][0]["path"] == "/dev/fuse");
  const auto sys = mounts_at(config, "/sys")[0]["options"];
  CHECK(std::find(sys.begin(), sys.end(), "ro") == sys.end());
  req.spec.mutable_security()->set_no_new_privileges(true);
  req.spec.mutable_security()->set_seccomp(R"({"defaultAction":"SCMP_ACT_ALLOW"})");
  config = checked_config(req);
  CHECK(config["process"]["noNewPrivileges"] == true);
  CHECK(config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW");
}

TEST_CASE("options: devices, disks, sysctls, limits and groups") {
  auto req = request();
  req.host.devices.push_back({"/dev/x", 'b', 8, 1, 0660, 0, 6, "r"});
  req.host.disks["/dev/sda"] = {8, 0};
  auto* io = req.spec.mutable_resources()->add_io_limits();
  io->set_path("/dev/sda");
  io->set_read_bps(1 << 20);
  req.spec.mutable_resources()->set_io_weight(100);
  (*req.spec.mutable_sysctls())["net.core.somaxconn"] = "5";
  auto* limit = req.spec.add_rlimits();
  limit->set_type("RLIMIT_NOFILE");
  limit->set_soft(7);
  limit->set_hard(8);
  req.spec.set_oom_score_adj(-5);
  req.spec.add_groups(44);
  req.spec.set_shm_bytes(4096);
  auto config = checked_config(req);
  const auto& linux = config["linux"];
  CHECK(linux["resources"]["devices"].size() == 2);
  CHECK(linux["resources"]["devices"][1]
        == json({{"allow", true}, {"type", "b"}, {"major", 8}, {"minor", 1}, {"access", "r"}}));
  CHECK(linux["devices"][0]["gid"] == 6);
  CHECK(linux["resources"]["blockIO"]["weight"] == 100);
  CHECK(linux["resources"]["blockIO"]["throttleReadBpsDevice"]
        == json::array({{{"major", 8}, {"minor", 0}, {"rate", 1 << 20}}}));
  CHECK(linux["sysctl"]["net.core.somaxconn"] == "5");
  CHECK(config["process"]["rlimits"]
        == json::array({{{"type", "RLIMIT_NOFILE"}, {"soft", 7}, {"hard", 8}}}));
  CHECK(config["process"]["oomScoreAdj"] == -5);
  CHECK(config["process"]["user"]["additionalGids"] == json::array({44}));
  CHECK(mounts_at(config, "/dev/shm")[0]["options"].back() == "size=4096");
}

TEST_CASE("options: confinement follows what is asked, and no more") {
  auto req = request();
  auto& s = *req.spec.mutable_security();
  s.set_no_new_privileges(false);
  s.set_writable_cgroups(true);
  s.set_apparmor("web");
  s.set_selinux("a:b:c:s0");
  auto config = checked_config(req);
  CHECK(config["process"]["noNewPrivileges"] == false);
  CHECK(config["process"]["apparmorProfile"] == "web");
  CHECK(config["process"]["selinuxLabel"] == "a:b:c:s0");
  CHECK(config["linux"].contains("seccomp"));
  CHECK(config["linux"].contains("maskedPaths"));
  const auto group = mounts_at(config, "/sys/fs/cgroup")[0]["options"];
  CHECK(std::find(group.begin(), group.end(), "rw") != group.end());
  CHECK(mounts_at(config, "/sys")[0]["options"].back() == "ro");
  s.set_seccomp("unconfined");
  s.set_unmasked(true);
  s.set_apparmor("unconfined");
  config = checked_config(req);
  CHECK_FALSE(config["linux"].contains("seccomp"));
  CHECK_FALSE(config["linux"].contains("maskedPaths"));
  CHECK_FALSE(config["process"].contains("apparmorProfile"));
}

TEST_CASE("options: they are laid over a client's bundle, too") {
  auto req = request();
  req.spec.clear_rootfs();
  req.spec.clear_args();
  req.spec.set_bundle("/home/b");
  req.spec.add_cap_add("SYS_TIME");
  add_mount(req, "tmpfs", "", "/t");
  const auto bundle = json::parse(R"({"process": {"args": ["sh"], "cwd": "/", "capabilities":
    {"bounding": ["CAP_KILL"]}}, "root": {"path": "rootfs"}})");
  auto config = adopt_config(req, bundle);
  REQUIRE(config.ok());
  CHECK((*config)["process"]["capabilities"]["bounding"]
        == json::array({"CAP_KILL", "CAP_SYS_TIME"}));
  CHECK(mounts_at(*config, "/t").size() == 1);
  CHECK_FALSE((*config)["linux"].contains("devices"));
  auto broken = bundle;
  broken["linux"]["seccomp"] = 5;
  CHECK_FALSE(adopt_config(req, broken).ok());
}

TEST_CASE("options: a profile of Docker's becomes the OCI's for this machine") {
  const std::string profile = R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
    "syscalls": [
      {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["kill"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_KILL"]}},
      {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
      {"names": ["never"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.1"}},
      {"names": ["s390"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
      {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_KILL"]},
       "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]})";
  const json capabilities = json::array({"CAP_KILL"});
  auto made = seccomp_of(profile, "", &capabilities);
  REQUIRE(made.ok());
  json names = json::array();
  for (const auto& rule : (*made)["syscalls"])
    names.push_back(rule["names"][0]);
  CHECK(names == json::array({"read", "kill", "ptrace"}));
  CHECK((*made)["architectures"].size() == 2);
  CHECK((*made)["defaultErrnoRet"] == 1);
}

TEST_CASE("options: a wrong profile is refused with its place") {
  const auto why = [](const char* text, const char* agent = "") {
    auto made = seccomp_of(text, agent, nullptr);
    REQUIRE_FALSE(made.ok());
    return made.why().message;
  };
  using Catch::Contains;
  CHECK_THAT(why("{"), Contains("line 1"));
  CHECK_THAT(why("[]"), Contains("defaultAction"));
  CHECK_THAT(why(R"({"defaultAction":"ALLOW"})"), Contains("defaultAction"));
  CHECK_THAT(why(R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["x"]}]})"),
             Contains("syscalls[0].action"));
  CHECK_THAT(why(R"({"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":[],"action":"x"}]})"),
             Contains("syscalls[0].names"));
  const char* asks = R"({"defaultAction":"SCMP_ACT_ALLOW",
    "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]})";
  CHECK_THAT(why(asks), Contains("no agent"));
  CHECK_THAT(why(R"({"defaultAction":"SCMP_ACT_ALLOW"})", "/a"), Contains("no rule"));
  auto made = seccomp_of(asks, "/run/agent", nullptr);
  REQUIRE(made.ok());
  CHECK((*made)["listenerPath"] == "/run/agent");
}

TEST_CASE("options: a notify socket is a directory, read-only, and words in the environment") {
  auto req = request();
  req.spec.add_env("NOTIFY_SOCKET=/mine");
  req.spec.mutable_notify()->set_watchdog_ns(2'500'000'000);
  add_mount(req, "tmpfs", "", "/run");
  CHECK(mounts_at(make_config(req), notify_target).empty()); // There is none yet.
  req.notify_dir = "/state/notify/7";
  auto config = make_config(req);
  const auto at = mounts_at(config, notify_target);
  REQUIRE(at.size() == 1);
  CHECK(config["mounts"].back() == at[0]); // Nothing covers it.
  CHECK(at[0]["source"] == "/state/notify/7");
  CHECK(at[0]["options"] == json({"bind", "ro", "nosuid", "nodev", "noexec", "rprivate"}));
  auto words = [](const json& c) {
    std::set<std::string> out;
    for (const auto& e : c["process"]["env"])
      out.insert(e.get<std::string>());
    return out;
  };
  CHECK(words(config).contains("NOTIFY_SOCKET=/run/notify/notify.sock"));
  CHECK_FALSE(words(config).contains("NOTIFY_SOCKET=/mine"));
  CHECK(words(config).contains("WATCHDOG_USEC=2500000"));
  CHECK(words(config).contains("WATCHDOG_PID=1"));

  json bundle = {{"ociVersion", "1.0.2"},
                 {"process", {{"args", {"/bin/true"}}, {"cwd", "/"}}},
                 {"root", {{"path", "rootfs"}}},
                 {"linux", {{"namespaces", json::array({{{"type", "mount"}}})}}}};
  req.spec.clear_rootfs();
  req.spec.set_bundle("/b");
  auto adopted = adopt_config(req, bundle);
  REQUIRE(adopted);
  CHECK(words(*adopted).contains("WATCHDOG_USEC=2500000"));
  CHECK_FALSE(words(*adopted).contains("WATCHDOG_PID=1")); // Its init has a number of the host.
}
