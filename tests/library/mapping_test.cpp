#include <catch2/catch.hpp>
#include <google/protobuf/descriptor.h>
#include <set>

#include "library/convert.hpp"

using namespace gantry;
using namespace gantry::library;
using namespace std::chrono_literals;

namespace {

using words = std::set<std::string>;

/// Fields of a message, and of all below it, that nothing was written to.
void gather_unset(const google::protobuf::Message& m, const std::string& path, words& out) {
  const auto* kind = m.GetDescriptor();
  const auto* look = m.GetReflection();
  for (int i = 0; i < kind->field_count(); ++i) {
    const auto* f = kind->field(i);
    const auto name = path + f->name();
    const bool set = f->is_repeated() ? look->FieldSize(m, f) > 0 : look->HasField(m, f);
    if (!set)
      out.insert(name);
    else if (f->message_type() != nullptr && !f->is_map())
      gather_unset(f->is_repeated() ? look->GetRepeatedMessage(m, f, 0) : look->GetMessage(m, f),
                   name + ".", out);
  }
}

words unset(const google::protobuf::Message& m) {
  words out;
  gather_unset(m, "", out);
  return out;
}

health_check full_check() {
  return {.profile = "kubernetes",
          .probes = {{.role = "liveness",
                      .kind = "http",
                      .args = {"a"},
                      .shell = true,
                      .address = "::1",
                      .port = 80,
                      .path = "/p",
                      .host = "h",
                      .headers = {"A: b"},
                      .status_first = 201,
                      .status_last = 202,
                      .service = "s",
                      .tls_ca = "t",
                      .younger = 1ns,
                      .interval = 2ns,
                      .timeout = 3ns,
                      .initial_delay = 4ns,
                      .start_period = 5ns,
                      .start_interval = 6ns,
                      .failures = 7,
                      .successes = 8}},
          .history = 9,
          .output_bytes = 10,
          .ignore_throttled = true,
          .on_unhealthy = "kill",
          .reset_after = 11ns};
}

restart_policy full_policy() {
  return {.when = "always",
          .retries = 1,
          .delay = 2ns,
          .factor = 3.0,
          .delay_max = 4ns,
          .jitter = 0.5,
          .reset_after = 6ns,
          .attempts = 7,
          .window = 8ns,
          .rules = {"oom:dead"}};
}

void fill_isolation(container_spec& x) {
  x.mounts = {{.source = "/a", .target = "/b", .read_only = true, .options = {"noexec"}}};
  x.cap_add = x.cap_drop = {"KILL"};
  x.privileged = true;
  x.rlimits = {{.type = "RLIMIT_CORE", .soft = 1, .hard = 2}};
  x.devices = {{.host_path = "/dev/a", .path = "/dev/b", .access = "r"}};
  x.sysctls = {{"net.a", "1"}};
  x.security = {.no_new_privileges = false,
                .seccomp = "a",
                .seccomp_agent = "b",
                .apparmor = "c",
                .selinux = "d",
                .selinux_mount = "e",
                .writable_cgroups = true,
                .unmasked = true};
  x.oom_score_adj = 0;
  x.cgroup_parent = std::string("/a");
  x.shm_bytes = 1;
  x.groups = {1};
  x.group_names = {"a"};
}

container_spec full_spec() {
  container_spec x;
  x.bundle = x.rootfs = x.workdir = x.user = x.hostname = x.network = x.runtime
    = std::string("a");
  x.args = x.env = {"a"};
  x.read_only = x.with_stdin = x.terminal = x.remove_on_exit = true;
  x.limits = {.memory_bytes = 1, .memory_swap_bytes = 2, .memory_reservation_bytes = 3,
              .cpus = 4, .cpu_quota_us = 5, .cpu_period_us = 6, .cpu_shares = 7, .pids = 8,
              .cpuset_cpus = "0", .cpuset_mems = "0", .unified = {{"a", "b"}}, .io_weight = 9,
              .disks = {{.path = "/dev/a", .read_bps = 1, .write_bps = 2, .read_iops = 3,
                         .write_iops = 4}}};
  x.log = {.max_file_bytes = 1, .max_files = 2, .max_line_bytes = 3, .format = "raw",
           .when_full = "block", .rate_bytes = 4, .burst_bytes = 5, .max_age_ns = 6,
           .compress = true, .forward = "syslog"};
  x.labels = x.annotations = {{"a", "b"}};
  x.stop_signal = std::string("INT");
  x.stop_timeout = 1ns;
  x.terminal_size = terminal_size{.width = 1, .height = 2};
  x.fifos = {.in = "/a", .out = "/b", .err = "/c"};
  fill_isolation(x);
  x.after = {{.id = "a", .condition = "ready"}};
  x.after_timeout = 1ns;
  x.notify = notify_socket{.watchdog = 1ns, .start_timeout = 2ns, .extend_max = 0ns};
  x.restart = full_policy();
  x.health = full_check();
  x.max_run = 1ns;
  x.oom_policy = x.pressure_policy = std::string("stop");
  x.pressure = {"memory.high"};
  return x;
}

} // namespace

TEST_CASE("library: what the bus knows of a container can be said in its structs") {
  const auto spec = to_bus(full_spec());
  CHECK(unset(spec) == words{});
  const auto& p = spec.health().probes(0);
  CHECK(p.younger_ns() == 1);
  CHECK(p.interval_ns() == 2);
  CHECK(p.timeout_ns() == 3);
  CHECK(p.initial_delay_ns() == 4);
  CHECK(p.start_period_ns() == 5);
  CHECK(p.start_interval_ns() == 6);
  CHECK(p.failures() == 7);
  CHECK(p.successes() == 8);
  CHECK(p.status_first() == 201);
  CHECK(spec.health().history() == 9);
  CHECK(spec.health().reset_after_ns() == 11);
  CHECK(spec.restart().delay_ns() == 2);
  CHECK(spec.restart().delay_max_ns() == 4);
  CHECK(spec.restart().reset_after_ns() == 6);
  CHECK(spec.restart().window_ns() == 8);
}

TEST_CASE("library: what is not given is left to the supervisor") {
  const auto spec = to_bus(container_spec{});
  CHECK_FALSE(spec.has_restart());
  CHECK_FALSE(spec.has_health());
  CHECK_FALSE(spec.has_notify());
  CHECK(unset(spec).count("max_run_ns") == 1);
  const auto check = to_bus(health_check{.probes = {{}}});
  CHECK_FALSE(check.has_history());
  CHECK_FALSE(check.probes(0).has_interval_ns());
  CHECK_FALSE(check.probes(0).has_failures());
  CHECK(check.probes(0).kind() == "exec");
  const auto policy = to_bus(restart_policy{});
  CHECK(policy.when() == "no");
  CHECK_FALSE(policy.has_delay_ns());
  CHECK_FALSE(policy.has_factor());
}

TEST_CASE("library: what a notify socket and a threshold tell") {
  v1::Health x;
  auto* n = x.mutable_notify();
  n->set_reloading(true);
  n->set_status("warm");
  n->set_watchdog_ns(5);
  n->set_due_ns(6);
  n->set_datagrams(7);
  n->set_refused(8);
  n->set_ignored(9);
  x.set_actions(2);
  x.set_next_action("stop");
  const auto health = from_bus(x);
  REQUIRE(health.notify);
  CHECK_FALSE(health.notify->ready);
  CHECK(health.notify->reloading);
  CHECK_FALSE(health.notify->stopping);
  CHECK(health.notify->status == "warm");
  CHECK(health.notify->watchdog == 5ns);
  CHECK(health.notify->due == moment{6ns});
  CHECK(health.notify->datagrams == 7);
  CHECK(health.notify->refused == 8);
  CHECK(health.notify->ignored == 9);
  CHECK(health.actions == 2);
  CHECK(health.next_action == "stop");
  v1::PressureState p;
  p.set_threshold("memory.high");
  p.set_unsupported("no");
  p.set_crossed(3);
  p.set_crossed_ns(4);
  const auto pressure = from_bus(p);
  CHECK(pressure.threshold == "memory.high");
  CHECK(pressure.unsupported == "no");
  CHECK(pressure.crossed == 3);
  CHECK(pressure.last == moment{4ns});
}
