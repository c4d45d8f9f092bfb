// What the files of a control group say, and what writing to them does.

#include <charconv>
#include <csignal>

#include "tests/sim/sim_cgroup.hpp"
#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

namespace {

constexpr int64_t v1_unlimited = 9223372036854771712;

std::string number(int64_t n) { return std::to_string(n) + "\n"; }

std::string limit_v2(int64_t n) { return n < 0 ? "max\n" : number(n); }

int64_t parse(std::string_view text) {
  int64_t n = -1;
  if (text != "max")
    std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

std::string memory_stat(const group& g) {
  const auto used = std::to_string(g.memory_used);
  return "anon " + used + "\nfile 0\ninactive_file 0\ntotal_inactive_file 0\ncache 0\nrss " +
         used + "\n";
}

} // namespace

/// Who is in a group without a directory in this hierarchy is in the next one above that has.
std::string cgroup_tree::procs_text(const place& p) const {
  std::string out;
  const auto& dirs = mounts_.at(p.mount);
  for (const auto& [path, g] : groups_) {
    std::string home = path;
    while (!dirs.contains(home))
      home = home.substr(0, std::max<size_t>(home.rfind('/'), 1));
    if (home != p.path)
      continue;
    for (pid_t pid : g->procs)
      out += std::to_string(pid) + "\n";
  }
  return out;
}

int cgroup_tree::read_v2(const place& p, const group& g, std::string& out) const {
  const auto& f = p.file;
  if (f == "cgroup.procs" || f == "cgroup.threads")
    return out = procs_text(p), 0;
  if (f == "cgroup.controllers" || f == "cgroup.subtree_control")
    return out = hybrid_ ? "\n" : "cpu io memory pids\n", 0;
  if (p.path == "/")
    return -ENOENT;
  if (f == "cgroup.events")
    return out = std::string("populated ") + (populated(p.path) ? "1" : "0") + "\nfrozen " +
                 (g.frozen_v2 && g.settled ? "1" : "0") + "\n",
           0;
  if (f == "cgroup.freeze")
    return out = g.frozen_v2 ? "1\n" : "0\n", 0;
  if (f == "cgroup.kill")
    return -EINVAL; // Write only.
  if (f == "cpu.pressure" || f == "io.pressure" || f == "memory.pressure")
    return out = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0;
  if (hybrid_)
    return -ENOENT;
  if (f == "memory.events" || f == "memory.events.local")
    return out = "low 0\nhigh " + std::to_string(g.high) + "\nmax " + std::to_string(g.oom) +
                 "\noom " + std::to_string(g.oom) + "\noom_kill " + std::to_string(g.oom_kill) +
                 "\noom_group_kill 0\n",
           0;
  if (f == "memory.current" || f == "memory.peak")
    return out = number(g.memory_used), 0;
  if (f == "memory.max")
    return out = limit_v2(g.memory_limit), 0;
  if (f == "memory.swap.current")
    return out = "0\n", 0;
  if (f == "memory.swap.max")
    return out = "max\n", 0;
  if (f == "memory.stat")
    return out = memory_stat(g), 0;
  if (f == "pids.current")
    return out = number(int64_t(members(p.path).size())), 0;
  if (f == "pids.max")
    return out = limit_v2(g.pids_limit), 0;
  if (f == "cpu.stat")
    return out = "usage_usec 1000\nuser_usec 600\nsystem_usec 400\nnr_periods 0\n"
                 "nr_throttled 0\nthrottled_usec 0\n",
           0;
  if (f == "io.stat")
    return out = "8:0 rbytes=0 wbytes=0 rios=0 wios=0 dbytes=0 dios=0\n", 0;
  return -ENOENT;
}

int cgroup_tree::read_v1(const place& p, const group& g, std::string& out) const {
  const auto& f = p.file;
  const auto controller = p.mount.substr(p.mount.rfind('/') + 1);
  if (f == "cgroup.procs" || f == "tasks")
    return out = procs_text(p), 0;
  if (controller == "memory") {
    if (f == "memory.usage_in_bytes" || f == "memory.max_usage_in_bytes")
      return out = number(g.memory_used), 0;
    if (f == "memory.limit_in_bytes")
      return out = number(g.memory_limit < 0 ? v1_unlimited : g.memory_limit), 0;
    if (f == "memory.failcnt")
      return out = number(int64_t(g.oom)), 0;
    if (f == "memory.oom_control")
      return out = "oom_kill_disable 0\nunder_oom 0\noom_kill " + std::to_string(g.oom_kill) + "\n",
             0;
    if (f == "memory.stat")
      return out = memory_stat(g), 0;
  }
  if (controller == "pids" && f == "pids.current" && p.path != "/")
    return out = number(int64_t(members(p.path).size())), 0;
  if (controller == "pids" && f == "pids.max" && p.path != "/")
    return out = limit_v2(g.pids_limit), 0;
  if (controller == "freezer" && f == "freezer.state" && p.path != "/")
    return out = !frozen_v1(p.path) ? "THAWED\n" : g.settled ? "FROZEN\n" : "FREEZING\n", 0;
  if (controller == "cpuacct" && f == "cpuacct.usage")
    return out = "1000000\n", 0;
  if (controller == "cpuacct" && f == "cpuacct.stat")
    return out = "user 1\nsystem 1\n", 0;
  if (controller == "cpu" && f == "cpu.stat")
    return out = "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n", 0;
  if (controller == "blkio" && f.starts_with("blkio.throttle.io_service"))
    return out = "Total 0\n", 0;
  return -ENOENT;
}

int cgroup_tree::write_file(const place& p, group& g, std::string_view bytes) {
  const auto& f = p.file;
  if (f == "cgroup.procs") {
    const auto who = host_.find(pid_t(parse(bytes)));
    if (!who)
      return -ESRCH;
    return join(*who, p.path), 0;
  }
  if (p.path == "/")
    return -ENOENT;
  if (f == "cgroup.freeze" && p.unified())
    return set_frozen(p, g, false, bytes == "1"), 0;
  if (f == "freezer.state" && !p.unified()) {
    if (bytes != "FROZEN" && bytes != "THAWED")
      return -EINVAL;
    return set_frozen(p, g, true, bytes == "FROZEN"), 0;
  }
  if (f == "cgroup.kill" && p.unified()) {
    if (bytes != "1")
      return -ERANGE;
    for (pid_t pid : members(p.path))
      if (auto who = host_.find(pid))
        host_.signal(*who, SIGKILL);
    return 0;
  }
  if (f == "memory.max" || f == "memory.limit_in_bytes")
    return g.memory_limit = parse(bytes), 0;
  if (f == "pids.max")
    return g.pids_limit = parse(bytes), 0;
  std::string text;
  return p.unified() ? read_v2(p, g, text) : read_v1(p, g, text);
}

} // namespace gantry::sim
