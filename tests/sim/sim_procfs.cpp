// /proc, as far as a supervisor reads it.

#include <charconv>

#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

namespace {

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& p : parts)
    (out += p).push_back('\0');
  return out;
}

std::string name_of(const process& p) {
  std::string name = p.argv.empty() ? "none" : p.argv[0];
  return name.substr(name.rfind('/') + 1).substr(0, 15);
}

std::string stat_line(const process& p) {
  const auto parent = p.parent.lock();
  const char state = p.at == process::phase::zombie ? 'Z' : p.frozen() ? 'D' : 'S';
  std::string out = std::to_string(p.pid) + " (" + name_of(p) + ") " + state + " " +
                    std::to_string(parent ? parent->pid : 1);
  out += " 1 1 0 -1 0 0 0 0 0"; // Fields 5 to 13.
  out += " 1 1 0 0 20 0 1 0 ";  // utime to itrealvalue, fields 14 to 21.
  out += std::to_string(p.start_ticks) + " 4096 1";
  for (int field = 25; field <= 52; ++field)
    out += " 0";
  return out + "\n";
}

std::string cgroup_lines(const machine& m, const process& p) {
  std::string out;
  if (m.groups.hybrid()) {
    int id = 2;
    for (auto c : {"memory", "cpu", "cpuacct", "pids", "blkio", "freezer"})
      out += std::to_string(id++) + ":" + c + ":" + p.cgroup + "\n";
  }
  return out + "0::" + p.cgroup + "\n";
}

} // namespace

int machine::list(const std::string& path, std::vector<std::string>& out) const {
  if (cgroup_tree::owns(path))
    return groups.list(path, out);
  if (!in_proc(path))
    return files.list(path, out);
  if (path != "/proc" && path != "/proc/") {
    pid_t pid = 0;
    const std::string_view rest = std::string_view(path).substr(6);
    const auto end = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
    if (!find(pid) || std::string_view(end.ptr) != "/task")
      return -ENOENT;
    out.push_back(std::to_string(pid));
    return 0;
  }
  for (const auto& [pid, p] : table_)
    out.push_back(std::to_string(pid));
  out.insert(out.end(), {"self", "mounts", "sys", "meminfo"});
  return 0;
}

void machine::log_of_kernel(const std::string& text) {
  kernel_log.push_back("3," + std::to_string(kernel_log.size()) + "," +
                       std::to_string(time.now().count() / 1000) + ",-;" + text + "\n");
}

int machine::read_proc(const std::string& path, std::string& out) const {
  if (path == "/proc/2/stat" && options.kernel_log) // With PF_KTHREAD: the first pid namespace.
    return out = "2 (kthreadd) S 0 0 0 0 -1 2129984 0\n", 0;
  if (path == "/proc/self/mountinfo")
    return out = groups.mountinfo(), 0;
  if (path == "/proc/uptime")
    return out = std::to_string(double(time.now().count()) / 1e9) + " 0.00\n", 0;
  if (path == "/proc/sys/kernel/random/boot_id")
    return out = boot_id + "\n", 0;
  std::string_view rest = std::string_view(path).substr(std::string_view("/proc/").size());
  pid_t pid = 0;
  const auto end = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
  const auto p = find(pid);
  if (end.ec != std::errc() || !p)
    return -ENOENT;
  rest.remove_prefix(size_t(end.ptr - rest.data()));
  const bool gone = p->at == process::phase::zombie;
  if (rest == "/stat")
    return out = stat_line(*p), 0;
  if (rest == "/status")
    return out = "NSpid:\t" + std::to_string(pid) + (gone ? "\n" : "\nVmSize:\t1000 kB\n"), 0;
  if (rest == "/root") // Its target, of which nothing is read.
    return gone ? -ENOENT : 0;
  if (rest == "/environ")
    return out = gone ? "" : joined(p->env), 0;
  if (rest == "/cmdline")
    return out = gone ? "" : joined(p->argv), 0;
  if (rest == "/task/" + std::to_string(pid) + "/children") {
    for (const auto& [number, other] : table_)
      if (other->parent.lock() == p)
        out += std::to_string(number) + " ";
    return 0;
  }
  if (rest == "/comm")
    return out = name_of(*p) + "\n", 0;
  if (rest == "/cgroup")
    return out = cgroup_lines(*this, *p), 0;
  return -ENOENT;
}

} // namespace gantry::sim
