#include <algorithm>

#include "runtime/accounts.hpp"
#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/config_parts.hpp"
#include "runtime/seccomp.hpp"

namespace gantry::runtime {

namespace {

using nlohmann::json;

constexpr std::string_view default_path =
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

json mount_of(std::string_view destination, std::string_view type, std::string_view source,
              json options) {
  return {{"destination", destination},
          {"type", type},
          {"source", source},
          {"options", std::move(options)}};
}

/// Made once, copied for each container.
const json& default_mounts() {
  static const json made = json::array({
    mount_of("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
    mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
    mount_of("/dev/pts", "devpts", "devpts",
             {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
    mount_of("/dev/shm", "tmpfs", "shm",
             {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
    mount_of("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
    mount_of("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
    mount_of("/sys/fs/cgroup", "cgroup", "cgroup",
             {"nosuid", "noexec", "nodev", "relatime", "ro"}),
  });
  return made;
}

/// What tells of the host, or changes it, although it lies in the container's /proc and /sys.
const json& masked_paths() {
  static const json made = json::array({
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"});
  return made;
}

const json& readonly_paths() {
  static const json made =
    json::array({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"});
  return made;
}

/// The fourteen that most images are written for (Docker's default set).
const json& default_capabilities() {
  static const json made = capability_sets(json::array(
    {"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
     "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID",
     "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}));
  return made;
}

json namespaces_for(const v1::ContainerSpec& spec) {
  // The cgroup namespace works with runc 1.1.5 on v1, hybrid and v2, and costs nothing
  // measurable; without it /proc/self/cgroup tells the host's paths.
  json out = json::array({{{"type", "pid"}},
                          {{"type", "ipc"}},
                          {{"type", "uts"}},
                          {{"type", "mount"}},
                          {{"type", "cgroup"}}});
  if (spec.network() != "host")
    out.push_back({{"type", "network"}});
  return out;
}

json process_for(const bundle_request& req) {
  const auto& spec = req.spec;
  auto user = parse_user(spec.user());
  GANTRY_CHECK(user.ok()); // check_spec has looked
  json env = json::array();
  bool has_path = std::any_of(spec.env().begin(), spec.env().end(),
                              [](const auto& e) { return e.starts_with("PATH="); });
  if (!has_path)
    env.emplace_back(default_path);
  for (const auto& e : spec.env())
    env.push_back(e);
  if (spec.terminal())
    add_term(env);
  return {{"terminal", spec.terminal()},
          {"user", user_json(*user)},
          {"args", strings(spec.args())},
          {"env", std::move(env)},
          {"cwd", spec.workdir().empty() ? "/" : spec.workdir()},
          {"capabilities", default_capabilities()},
          {"rlimits",
           json::array({{{"type", "RLIMIT_NOFILE"},
                         {"soft", std::min<uint64_t>(1024, req.max_open_files)},
                         {"hard", req.max_open_files}}})},
          {"noNewPrivileges", true}};
}

} // namespace

json strings(const google::protobuf::RepeatedPtrField<std::string>& list) {
  json out = json::array();
  for (const auto& one : list)
    out.push_back(one);
  return out;
}

json capability_sets(const json& names) {
  // Not inheritable: what a file's own inheritable set would add to it nobody expects.
  return {{"bounding", names}, {"effective", names}, {"permitted", names}};
}

json config_without_seccomp(const bundle_request& req) {
  const auto& spec = req.spec;
  json resources = resources_json(spec.resources());
  // All devices refused; each runtime adds the harmless ones (null, zero, random, pts …).
  resources["devices"] = json::array({{{"allow", false}, {"access", "rwm"}}});
  json out{{"ociVersion", "1.0.2"},
           {"process", process_for(req)},
           {"root", {{"path", spec.rootfs()}, {"readonly", spec.read_only()}}},
           {"hostname", spec.hostname().empty() ? req.name.id.substr(0, 64) : spec.hostname()},
           {"mounts", default_mounts()},
           {"linux",
            {{"cgroupsPath", req.cgroup},
             {"namespaces", namespaces_for(spec)},
             {"resources", std::move(resources)},
             {"maskedPaths", masked_paths()},
             {"readonlyPaths", readonly_paths()}}}};
  set_console_size(out["process"], spec.terminal_size());
  if (!spec.annotations().empty())
    out["annotations"] = string_map(spec.annotations());
  auto laid = lay_options(req, out);
  GANTRY_CHECK(laid.ok()); // The config is ours and check_spec has looked at the options.
  return out;
}

json string_map(const google::protobuf::Map<std::string, std::string>& map) {
  json out = json::object();
  for (const auto& [key, value] : map)
    out[key] = value;
  return out;
}

json make_config(const bundle_request& req) {
  json out = config_without_seccomp(req);
  if (wants_default_seccomp(req.spec))
    out["linux"]["seccomp"] = default_seccomp();
  return out;
}

json resources_json(const v1::Resources& r) {
  json out = json::object();
  auto set = [&out](const char* group, const char* key, auto value) {
    if (value != 0)
      out[group][key] = value;
  };
  set("memory", "limit", r.memory_bytes());
  set("memory", "swap", r.memory_swap_bytes());
  set("memory", "reservation", r.memory_reservation_bytes());
  set("cpu", "shares", r.cpu_shares());
  set("cpu", "quota", quota_of(r));
  set("cpu", "period", period_of(r));
  set("pids", "limit", r.pids_limit());
  if (!r.cpuset_cpus().empty())
    out["cpu"]["cpus"] = r.cpuset_cpus();
  if (!r.cpuset_mems().empty())
    out["cpu"]["mems"] = r.cpuset_mems();
  set("blockIO", "weight", r.io_weight());
  if (!r.unified().empty())
    out["unified"] = string_map(r.unified());
  return out;
}

} // namespace gantry::runtime
