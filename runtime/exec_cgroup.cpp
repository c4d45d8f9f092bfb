#include "runtime/exec_cgroup.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "runtime/cgroup_files.hpp"

namespace gantry::runtime {

namespace {

constexpr std::string_view exec_prefix = "exec-";
constexpr std::array<std::string_view, 3> used_controllers{"freezer", "cpuacct", "pids"};
constexpr uint64_t us_ns = 1000;
constexpr uint64_t user_tick_ns = 10'000'000; // USER_HZ is 100 on every Linux.

std::string group_name_of(uint64_t serial) {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(serial));
  return std::string(exec_prefix) + digits;
}

/// Where execs have a directory of their own. A hierarchy that has cpuset too is left out: its
/// directories take no process before they are filled in.
std::vector<std::string> mounts_for_execs(const cgroup_host& host) {
  if (host.mode == cgroup_mode::v2)
    return {host.unified};
  std::vector<std::string> out;
  for (auto controller : used_controllers) {
    std::string at(host.mount_of(controller));
    if (!at.empty() && at != host.mount_of("cpuset")
        && std::find(out.begin(), out.end(), at) == out.end())
      out.push_back(std::move(at));
  }
  return out;
}

} // namespace

exec_cgroup::exec_cgroup(io::kernel& k, const cgroup_host& host, std::string container,
                         uint64_t serial)
  : kernel_(k), host_(host), container_(std::move(container)), name_(group_name_of(serial)) {}

std::string exec_cgroup::path() const { return container_ + "/" + name_; }

std::vector<std::string> exec_cgroup::mounts() const { return mounts_for_execs(host_); }

result<void> exec_cgroup::make() {
  for (const auto& mount : mounts())
    if (int rc = kernel_.mkdir(mount + path(), 0755); rc < 0 && rc != -EEXIST)
      return from_errno(-rc, "make the cgroup", mount + path());
  return {};
}

std::string exec_cgroup::option() const {
  if (host_.mode == cgroup_mode::v2)
    return name_;
  // Every name of a hierarchy is named: the runtime goes through the controllers in no order,
  // and the last one of a hierarchy decides.
  const auto mine = mounts();
  std::string names;
  for (const auto& [controller, mount] : host_.controllers)
    if (std::find(mine.begin(), mine.end(), mount) != mine.end()
        && !controller.starts_with("name="))
      names.append(names.empty() ? "" : ",").append(controller);
  return names.empty() ? names : names + ":" + name_;
}

bool exec_cgroup::exists() const {
  const auto mine = mounts();
  return !mine.empty() && kernel_.exists(mine.front() + path()) == 1;
}

cpu_time exec_cgroup::used() const {
  cpu_time out;
  std::string text;
  if (host_.mode == cgroup_mode::v2) {
    if (kernel_.read_small(host_.unified + path() + "/cpu.stat", text) >= 0)
      out = {value_of(text, "usage_usec") * us_ns, value_of(text, "user_usec") * us_ns,
             value_of(text, "system_usec") * us_ns};
    return out;
  }
  const auto dir = std::string(host_.mount_of("cpuacct")) + path();
  if (kernel_.read_small(dir + "/cpuacct.usage", text) >= 0)
    out.all_ns = number_in(text);
  if (kernel_.read_small(dir + "/cpuacct.stat", text) >= 0) {
    out.user_ns = value_of(text, "user") * user_tick_ns;
    out.system_ns = value_of(text, "system") * user_tick_ns;
  }
  return out;
}

result<void> exec_cgroup::kill_all() { return cgroup(kernel_, host_, path()).kill_all(); }

result<void> exec_cgroup::signal(int sig) { return cgroup(kernel_, host_, path()).signal(sig); }

std::vector<int32_t> exec_cgroup::pids() const { return cgroup(kernel_, host_, path()).pids(); }

bool exec_cgroup::remove() {
  bool gone = true;
  for (const auto& mount : mounts()) {
    int rc = kernel_.rmdir(mount + path());
    gone = gone && (rc >= 0 || rc == -ENOENT);
  }
  return gone;
}

void exec_cgroup::sweep(io::kernel& k, const cgroup_host& host, const std::string& container,
                        const std::set<uint64_t>& keep) {
  std::set<std::string> kept;
  for (auto serial : keep)
    kept.insert(group_name_of(serial));
  for (const auto& mount : mounts_for_execs(host)) {
    std::vector<std::string> names;
    if (k.list(mount + container, names) < 0)
      continue;
    for (const auto& name : names)
      if (name.starts_with(exec_prefix) && !kept.contains(name))
        k.rmdir(mount + container + "/" + name); // EBUSY: somebody lives there.
  }
}

} // namespace gantry::runtime
