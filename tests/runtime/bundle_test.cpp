#include "runtime/bundle.hpp"

#include <catch2/catch.hpp>
#include <functional>

using namespace gantry;
using namespace gantry::runtime;

namespace {

v1::ContainerSpec good() {
  v1::ContainerSpec spec;
  spec.set_rootfs("/srv/root");
  spec.add_args("/bin/true");
  return spec;
}

/// The good spec with one thing changed.
error refusal(const std::function<void(v1::ContainerSpec&)>& change) {
  auto spec = good();
  change(spec);
  auto done = check_spec(spec);
  REQUIRE_FALSE(done.ok());
  CHECK_FALSE(done.why().cure.empty());
  return done.why();
}

error limit_refusal(const std::function<void(v1::Resources&)>& change) {
  v1::Resources r;
  change(r);
  auto done = check_resources(r);
  REQUIRE_FALSE(done.ok());
  CHECK(done.why().code == ec::invalid_argument);
  CHECK_FALSE(done.why().cure.empty());
  return done.why();
}

} // namespace

TEST_CASE("a root filesystem with a command is a good spec") {
  auto spec = good();
  spec.add_env("A=b=c");
  spec.add_env("EMPTY=");
  spec.set_user("1000:100");
  spec.set_workdir("/srv/work");
  spec.set_hostname("web-1.example");
  spec.set_network("host");
  spec.set_stop_signal("QUIT");
  CHECK(check_spec(spec).ok());
}

TEST_CASE("exactly one of bundle and rootfs is wanted") {
  CHECK(refusal([](auto& s) { s.set_bundle("/b"); }).message
        == "both bundle and rootfs are given");
  CHECK(refusal([](auto& s) { s.clear_rootfs(); }).message
        == "neither bundle nor rootfs is given");
}

TEST_CASE("a refusal of a spec names the field and the value") {
  using spec = v1::ContainerSpec;
  struct row {
    std::string words;
    std::function<void(spec&)> change;
  };
  for (const auto& [words, change] : std::vector<row>{
         {"rootfs: \"srv/root\"", [](spec& s) { s.set_rootfs("srv/root"); }},
         {"args: no command", [](spec& s) { s.clear_args(); }},
         {"args[0]: an empty name", [](spec& s) { s.set_args(0, ""); }},
         {"args[1]: \"a\\x00b\"", [](spec& s) { s.add_args(std::string("a\0b", 3)); }},
         {"args[1]: \"\\xff\"", [](spec& s) { s.add_args("\xff"); }},
         {"env[0]: \"NOVALUE\"", [](spec& s) { s.add_env("NOVALUE"); }},
         {"env[1]: \"=x\"", [](spec& s) { s.add_env("A=1"), s.add_env("=x"); }},
         {"workdir: \"tmp\"", [](spec& s) { s.set_workdir("tmp"); }},
         {"workdir: \"/proc/self/fd/7\"", [](spec& s) { s.set_workdir("/proc/self/fd/7"); }},
         {"workdir: \"//proc\"", [](spec& s) { s.set_workdir("//proc"); }},
         {"workdir: \"/x/../proc/self\"", [](spec& s) { s.set_workdir("/x/../proc/self"); }},
         {"user: \"www data\"", [](spec& s) { s.set_user("www data"); }},
         {"user: \"-1\"", [](spec& s) { s.set_user("-1"); }},
         {"user: \"1:\"", [](spec& s) { s.set_user("1:"); }},
         {"user: \"4294967295\"", [](spec& s) { s.set_user("4294967295"); }},
         {"hostname: \"a b\"", [](spec& s) { s.set_hostname("a b"); }},
         {"network: \"bridge\"", [](spec& s) { s.set_network("bridge"); }},
         {"runtime: \"../runc\"", [](spec& s) { s.set_runtime("../runc"); }},
         {"signal \"FOO\"", [](spec& s) { s.set_stop_signal("FOO"); }},
         {"stop_timeout_ns: -1", [](spec& s) { s.set_stop_timeout_ns(-1); }},
         {"log.max_file_bytes: 10", [](spec& s) { s.mutable_log()->set_max_file_bytes(10); }},
         {"log.max_line_bytes: 2097152",
          [](spec& s) { s.mutable_log()->set_max_line_bytes(2u << 20); }},
         {"labels: the key \"\"", [](spec& s) { (*s.mutable_labels())[""] = "x"; }},
       }) {
    auto why = refusal(change);
    INFO(words << " | " << why.text());
    CHECK(why.code == ec::invalid_argument);
    CHECK(why.message.starts_with(words));
  }
}

TEST_CASE("a terminal's size has bounds, and needs a terminal") {
  const auto sized = [](uint32_t width, uint32_t height) {
    return [width, height](auto& s) {
      s.set_terminal(true);
      s.mutable_terminal_size()->set_width(width);
      s.mutable_terminal_size()->set_height(height);
    };
  };
  CHECK(refusal(sized(0, 0)).message.starts_with("terminal size: 0x0"));
  CHECK(refusal(sized(80, 0)).code == ec::invalid_argument);
  CHECK(refusal(sized(65536, 65536)).message.starts_with("terminal size: 65536x65536"));
  CHECK(refusal([](auto& s) { s.mutable_terminal_size()->set_width(80); })
          .message.starts_with("terminal_size: there is no terminal"));
  v1::TerminalSize size;
  size.set_width(65535);
  size.set_height(1);
  CHECK(check_terminal_size(size).ok());
}

TEST_CASE("a bundle decides about its network itself") {
  v1::ContainerSpec spec;
  spec.set_bundle("/b");
  CHECK(check_spec(spec).ok()); // no args: the config has them
  spec.set_network("host");
  CHECK_FALSE(check_spec(spec).ok());
}

TEST_CASE("limits in range are good") {
  v1::Resources r;
  CHECK(check_resources(r).ok());
  r.set_memory_bytes(64 << 20);
  r.set_memory_swap_bytes(-1);
  r.set_memory_reservation_bytes(32 << 20);
  r.set_nano_cpus(1'500'000'000);
  r.set_cpu_period_us(50'000);
  r.set_cpu_shares(2);
  r.set_cpuset_cpus("0-3,7");
  r.set_pids_limit(-1);
  (*r.mutable_unified())["memory.high"] = "50M";
  CHECK(check_resources(r).ok());
}

TEST_CASE("a refusal of a limit names the field and the value") {
  using res = v1::Resources;
  struct row {
    std::string words;
    std::function<void(res&)> change;
  };
  for (const auto& [words, change] : std::vector<row>{
         {"memory_bytes: 1000", [](res& r) { r.set_memory_bytes(1000); }},
         {"memory_bytes: -2", [](res& r) { r.set_memory_bytes(-2); }},
         {"memory_swap_bytes: 8388608",
          [](res& r) { r.set_memory_bytes(16 << 20), r.set_memory_swap_bytes(8 << 20); }},
         {"memory_reservation_bytes: -1", [](res& r) { r.set_memory_reservation_bytes(-1); }},
         {"nano_cpus 1000000000 and cpu_quota_us 5000 are both given",
          [](res& r) { r.set_nano_cpus(1'000'000'000), r.set_cpu_quota_us(5000); }},
         {"nano_cpus: 5", [](res& r) { r.set_nano_cpus(5); }},
         {"nano_cpus: -1", [](res& r) { r.set_nano_cpus(-1); }},
         {"cpu_quota_us: 10", [](res& r) { r.set_cpu_quota_us(10); }},
         {"cpu_period_us: 2000000", [](res& r) { r.set_cpu_period_us(2'000'000); }},
         {"cpu_period_us: 1000",
          [](res& r) { r.set_nano_cpus(10'000'000), r.set_cpu_period_us(1000); }},
         {"cpu_shares: 1", [](res& r) { r.set_cpu_shares(1); }},
         {"cpuset_cpus: \"0-\"", [](res& r) { r.set_cpuset_cpus("0-"); }},
         {"cpuset_mems: \",0\"", [](res& r) { r.set_cpuset_mems(",0"); }},
         {"pids_limit: -5", [](res& r) { r.set_pids_limit(-5); }},
         {"unified: \"../x.y\"", [](res& r) { (*r.mutable_unified())["../x.y"] = "1"; }},
         {"unified: \"cgroup.kill\"", [](res& r) { (*r.mutable_unified())["cgroup.kill"] = "1"; }},
       }) {
    auto why = limit_refusal(change);
    INFO(words << " | " << why.text());
    CHECK(why.message.starts_with(words));
  }
}

TEST_CASE("an exec needs a command and known names") {
  v1::ProcessSpec spec;
  CHECK(check_process(spec).why().message == "args: no command is given");
  spec.add_args("ls");
  CHECK(check_process(spec).ok());
  spec.add_capabilities("net_admin");
  CHECK(check_process(spec).ok());
  spec.add_capabilities("FLY");
  CHECK(check_process(spec).why().message.starts_with("capabilities: \"FLY\""));
  spec.mutable_capabilities()->RemoveLast();
  auto* limit = spec.add_rlimits();
  limit->set_type("RLIMIT_NOFILE");
  limit->set_soft(20);
  limit->set_hard(10);
  CHECK(check_process(spec).why().message.starts_with("rlimits.RLIMIT_NOFILE: soft 20"));
  limit->set_type("NOFILE");
  CHECK(check_process(spec).why().message.starts_with("rlimits.type: \"NOFILE\""));
  spec.clear_rlimits();
  spec.set_terminal(true);
  CHECK(check_process(spec).ok());
  spec.mutable_terminal_size();
  CHECK(check_process(spec).why().message.starts_with("terminal size: 0x0"));
}
