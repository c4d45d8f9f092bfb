#include <algorithm>
#include <array>
#include <set>

#include "runtime/accounts.hpp"
#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/seccomp.hpp"

// What a container may see and do: mounts, capabilities, devices, sysctls, confinement.

namespace gantry::runtime {

namespace {

constexpr int most_mounts = 512;
constexpr int most_devices = 256;
constexpr int most_sysctls = 256;
constexpr int most_extra_groups = 256;
constexpr size_t most_seccomp = 256u << 10;

constexpr auto flags = std::to_array<std::string_view>({
  "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync",
  "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime",
  "nostrictatime"});
constexpr auto of_binds = std::to_array<std::string_view>({
  "bind", "rbind", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable",
  "runbindable", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime"});
constexpr auto of_tmpfs = std::to_array<std::string_view>({
  "size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks=", "huge=", "mpol="});

/// Sysctls that a namespace has a value of its own of; what else is in these trees, the host
/// shares with all.
constexpr auto own_sysctls = std::to_array<std::string_view>({
  "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
  "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"});

bool has(auto& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// Absolute, without `..`, not the root itself.
result<void> check_inside(std::string_view field, const std::string& path) {
  if (auto done = check_path(field, path); !done)
    return done;
  const bool climbs = (path + "/").find("/../") != std::string::npos;
  if (climbs || path.find_first_not_of('/') == std::string::npos)
    return bad(field, shown(path), "use a path below the container's /, without ..");
  return {};
}

result<void> check_mount_option(const v1::Mount& m, const std::string& option) {
  const bool bind = m.type() == "bind";
  const bool sized = !bind && std::any_of(of_tmpfs.begin(), of_tmpfs.end(), [&option](auto key) {
    return option.starts_with(key) && option.size() > key.size() && option.size() < 256;
  });
  if (!sized && !has(flags, option) && !(bind && has(of_binds, option)))
    return bad("mounts " + m.target(), "the option " + shown(option),
               bind ? "use ro, nosuid, nodev, noexec, rshared, rslave … of mount(8)"
                    : "use size=64m, mode=1777, noexec … of mount(8)");
  if (!is_clean_text(option) || option.find(',') != std::string::npos)
    return bad("mounts " + m.target(), "the option " + shown(option), "one option each");
  return {};
}

result<void> check_mount(const v1::Mount& m) {
  if (m.type() != "bind" && m.type() != "tmpfs")
    return bad("mounts.type", shown(m.type()), "use bind or tmpfs");
  if (auto done = check_inside("mounts.target", m.target()); !done)
    return done;
  if (m.type() == "bind")
    if (auto done = check_path("mounts.source", m.source()); !done)
      return done;
  if (m.type() == "tmpfs" && !m.source().empty())
    return bad("mounts " + m.target(), "the source " + shown(m.source()),
               "a tmpfs has none: leave it out");
  if ((m.target() + "/").starts_with("/proc/"))
    return bad("mounts.target", shown(m.target()), "use a directory outside /proc");
  bool writable = false;
  for (const auto& option : m.options()) {
    writable = writable || option == "rw";
    if (auto done = check_mount_option(m, option); !done)
      return done;
  }
  if (m.read_only() && writable)
    return bad("mounts " + m.target(), "read_only together with the option rw", "give one");
  return {};
}

result<void> check_mounts(const v1::ContainerSpec& spec) {
  if (spec.mounts_size() > most_mounts)
    return bad("mounts", std::to_string(spec.mounts_size()) + " entries", "at most 512");
  std::set<std::string> seen;
  for (const auto& m : spec.mounts()) {
    if (auto done = check_mount(m); !done)
      return done;
    std::string target = m.target();
    target.erase(target.find_last_not_of('/') + 1);
    if (!seen.insert(target).second)
      return error{ec::invalid_argument, "mounts: two of them are at " + target,
                   "give each its own target"};
  }
  if (spec.shm_bytes() < 0)
    return bad("shm_bytes", std::to_string(spec.shm_bytes()), "use a size in bytes");
  if (spec.shm_bytes() > 0 && seen.contains("/dev/shm"))
    return error{ec::invalid_argument, "shm_bytes and a mount at /dev/shm are both given",
                 "they say the same thing twice: give one"};
  return {};
}

result<void> check_capabilities(const v1::ContainerSpec& spec) {
  const auto check = [](std::string_view field, const auto& names) -> result<void> {
    for (const auto& name : names)
      if (!is_all(name) && full_capability(name).empty())
        return bad(field, shown(name), "use a name of capabilities(7), such as NET_ADMIN, or ALL");
    return {};
  };
  if (auto done = check("cap_add", spec.cap_add()); !done)
    return done;
  if (auto done = check("cap_drop", spec.cap_drop()); !done)
    return done;
  if (spec.privileged() && spec.cap_drop_size() > 0)
    return error{ec::invalid_argument,
                 "privileged and cap_drop " + shown(spec.cap_drop(0)) + " contradict each other",
                 "privileged gives every capability: instead of it, add what is needed (cap_add "
                 "ALL is all of them)"};
  for (const auto& added : spec.cap_add())
    for (const auto& dropped : spec.cap_drop())
      if (full_capability(added) == full_capability(dropped))
        return error{ec::invalid_argument, shown(added) + " is both in cap_add and in cap_drop",
                     "leave it out of one of them"};
  return {};
}

result<void> check_devices(const v1::ContainerSpec& spec) {
  if (spec.devices_size() > most_devices)
    return bad("devices", std::to_string(spec.devices_size()) + " entries", "at most 256");
  for (const auto& d : spec.devices()) {
    if (auto done = check_inside("devices.host_path", d.host_path()); !done)
      return done;
    if (!d.host_path().starts_with("/dev/"))
      return bad("devices.host_path", shown(d.host_path()), "use a device file below /dev");
    if (!d.path().empty())
      if (auto done = check_inside("devices.path", d.path()); !done)
        return done;
    if (d.access().find_first_not_of("rwm") != std::string::npos || d.access().size() > 3)
      return bad("devices.access", shown(d.access()),
                 "use letters of r (read), w (write) and m (make), such as rw");
  }
  return {};
}

result<void> check_sysctls(const v1::ContainerSpec& spec) {
  if (int(spec.sysctls().size()) > most_sysctls)
    return bad("sysctls", std::to_string(spec.sysctls().size()) + " entries", "at most 256");
  for (const auto& [key, value] : spec.sysctls()) {
    const bool net = key.starts_with("net.") && key.size() > 4;
    const bool clean = is_clean_text(key) && key.size() < 256
                       && key.find("..") == std::string::npos
                       && key.find_first_of(" \t\n") == std::string::npos;
    if (!clean || !(net || key.starts_with("fs.mqueue.") || has(own_sysctls, key)))
      return bad("sysctls", shown(key),
                 "a container has its own net.*, fs.mqueue.*, kernel.msg*, kernel.sem and "
                 "kernel.shm*; others are the host's");
    if (net && spec.network() == "host")
      return error{ec::invalid_argument,
                   "sysctls: " + key + " with network host would change the host",
                   "leave one of them out; sysctl(8) sets those of the host"};
    if (value.size() > 4096 || !is_clean_text(value))
      return bad("sysctls." + key, shown(value), "use at most 4096 bytes of UTF-8");
  }
  return {};
}

result<void> check_label(std::string_view field, const std::string& text) {
  const auto colons = std::count(text.begin(), text.end(), ':');
  if (!text.empty() && (colons < 3 || text.size() > 4096 || !is_clean_text(text)))
    return bad(field, shown(text), "write USER:ROLE:TYPE:LEVEL, as `id -Z` does");
  return {};
}

result<void> check_security(const v1::ContainerSpec& spec) {
  const auto& s = spec.security();
  if (s.seccomp().size() > most_seccomp)
    return bad("security.seccomp", std::to_string(s.seccomp().size()) + " bytes",
               "a profile has at most 256 KiB");
  const bool profile = !s.seccomp().empty() && s.seccomp() != "unconfined";
  if (!s.seccomp_agent().empty()) {
    if (auto done = check_path("security.seccomp_agent", s.seccomp_agent()); !done)
      return done;
    if (!profile && spec.bundle().empty())
      return error{ec::invalid_argument, "security.seccomp_agent: no profile asks an agent",
                   "give a seccomp profile with SCMP_ACT_NOTIFY, too"};
  }
  if (profile)
    if (auto made = seccomp_of(s.seccomp(), s.seccomp_agent(), nullptr); !made)
      return std::move(made).why();
  if (s.apparmor().size() > 255 || !is_clean_text(s.apparmor()))
    return bad("security.apparmor", shown(s.apparmor()), "use the name of a profile");
  if (auto done = check_label("security.selinux", s.selinux()); !done)
    return done;
  return check_label("security.selinux_mount", s.selinux_mount());
}

result<void> check_cgroup_parent(const std::string& path) {
  if (path.empty())
    return {};
  const bool clean = std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
           || std::string_view("/._-@").find(c) != std::string_view::npos;
  });
  const bool climbs = ("/" + path + "/").find("/../") != std::string::npos
                      || ("/" + path + "/").find("/./") != std::string::npos;
  if (!clean || climbs || path.size() > 255 || path.find("//") != std::string::npos
      || path.find_first_not_of('/') == std::string::npos || path.ends_with('/'))
    return bad("cgroup_parent", shown(path), "use a cgroup's path, such as tenants/a");
  return {};
}

} // namespace

bool is_all(std::string_view capability) {
  return capability == "ALL" || capability == "all" || capability == "CAP_ALL";
}

result<void> check_rlimits(std::string_view field,
                           const google::protobuf::RepeatedPtrField<v1::Rlimit>& limits) {
  std::set<std::string> seen;
  for (const auto& limit : limits) {
    const std::string name = std::string(field) + ".type";
    if (!is_rlimit(limit.type()))
      return bad(name, shown(limit.type()), "use a name of getrlimit(2): RLIMIT_NOFILE");
    if (!seen.insert(limit.type()).second)
      return bad(name, limit.type() + " given twice", "give it once, with soft and hard");
    if (limit.soft() > limit.hard())
      return bad(std::string(field) + "." + limit.type(), "soft " + std::to_string(limit.soft()),
                 "it must not be above hard " + std::to_string(limit.hard()));
  }
  return {};
}

result<void> check_groups(const google::protobuf::RepeatedField<uint32_t>& numbers,
                          const google::protobuf::RepeatedPtrField<std::string>& names) {
  if (numbers.size() + names.size() > most_extra_groups)
    return bad("groups", std::to_string(numbers.size() + names.size()) + " entries",
               "at most 256");
  for (const auto gid : numbers)
    if (gid == UINT32_MAX) // "No change", to the kernel.
      return bad("groups", std::to_string(gid), "use 0 to 4294967294");
  for (const auto& name : names)
    if (!is_account_name(name))
      return bad("group_names", shown(name), "use a name of the container's /etc/group");
  return {};
}

result<void> check_options(const v1::ContainerSpec& spec) {
  for (auto check : {check_mounts, check_capabilities, check_devices, check_sysctls,
                     check_security})
    if (auto done = check(spec); !done)
      return done;
  if (auto done = check_rlimits("rlimits", spec.rlimits()); !done)
    return done;
  if (spec.has_oom_score_adj() && (spec.oom_score_adj() < -1000 || spec.oom_score_adj() > 1000))
    return bad("oom_score_adj", std::to_string(spec.oom_score_adj()), "use -1000 to 1000");
  if (auto done = check_groups(spec.groups(), spec.group_names()); !done)
    return done;
  return check_cgroup_parent(spec.cgroup_parent());
}

} // namespace gantry::runtime
