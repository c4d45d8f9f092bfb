#include "tests/sim/sim_cgroup.hpp"

#include <csignal>

#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view v1_controllers[] = {"memory", "cpu",   "cpuacct", "cpuset",
                                               "pids",   "blkio", "devices", "freezer"};

std::string parent_of(const std::string& path) {
  const auto cut = path.rfind('/');
  return cut == 0 || cut == std::string::npos ? "/" : path.substr(0, cut);
}

bool below(const std::string& path, const std::string& top) {
  return top == "/" || path == top || (path.starts_with(top) && path[top.size()] == '/');
}

} // namespace

bool cgroup_tree::place::unified() const noexcept {
  return mount == top || mount.ends_with("/unified");
}

cgroup_tree::cgroup_tree(machine& m, bool hybrid) : host_(m), hybrid_(hybrid) {
  groups_["/"] = std::make_shared<group>();
  if (!hybrid) {
    mounts_[std::string(top)] = {"/"};
    return;
  }
  for (auto c : v1_controllers)
    mounts_[std::string(top) + "/" + std::string(c)] = {"/"};
  mounts_[std::string(top) + "/unified"] = {"/"};
}

std::string cgroup_tree::mountinfo() const {
  std::string out = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
                    "23 22 0:21 / /proc rw,nosuid - proc proc rw\n";
  int id = 30;
  if (hybrid_)
    out += "29 22 0:25 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755\n";
  for (const auto& [mount, dirs] : mounts_) {
    const bool v2 = mount == top || mount.ends_with("/unified");
    const std::string name = mount.substr(mount.rfind('/') + 1);
    out += std::to_string(id) + (hybrid_ ? " 29 0:" : " 22 0:") + std::to_string(id) + " / " + mount
           + " rw,nosuid - ";
    out += v2 ? "cgroup2 cgroup2 rw\n" : "cgroup cgroup rw," + name + "\n";
    ++id;
  }
  return out;
}

bool cgroup_tree::locate(const std::string& raw, place& out) const {
  const std::string path = normal_path(raw);
  for (auto it = mounts_.rbegin(); it != mounts_.rend(); ++it) {
    const auto& [mount, dirs] = *it;
    if (!below(path, mount))
      continue;
    std::string rest = path.substr(mount.size());
    if (rest.empty())
      rest.assign(1, '/'); // `= "/"` makes g++ 12 warn for no reason.
    out.mount = mount;
    if (dirs.contains(rest)) {
      out.path = rest;
      out.file.clear();
      return true;
    }
    out.path = parent_of(rest);
    out.file = rest.substr(rest.rfind('/') + 1);
    return dirs.contains(out.path);
  }
  return false;
}

group_ptr cgroup_tree::at(const std::string& group_path) const {
  auto it = groups_.find(group_path);
  return it == groups_.end() ? nullptr : it->second;
}

group_ptr cgroup_tree::group_of_file(const std::string& path) const {
  place p;
  return locate(path, p) ? at(p.path) : nullptr;
}

bool cgroup_tree::exists(const std::string& path) const {
  place p;
  if (!locate(path, p))
    return hybrid_ && path == top;
  std::string text;
  return p.file.empty() || p.file == "cgroup.kill" || p.file == "cgroup.event_control" ||
         read(path, text) == 0;
}

int cgroup_tree::read(const std::string& path, std::string& out) const {
  place p;
  if (!locate(path, p))
    return -ENOENT;
  if (p.file.empty())
    return -EISDIR;
  const auto g = at(p.path);
  return p.unified() ? read_v2(p, *g, out) : read_v1(p, *g, out);
}

int cgroup_tree::write(const std::string& path, std::string_view bytes) {
  place p;
  if (!locate(path, p))
    return -ENOENT;
  if (p.file.empty())
    return -EISDIR;
  while (!bytes.empty() && bytes.back() == '\n')
    bytes.remove_suffix(1);
  auto g = at(p.path);
  return write_file(p, *g, bytes);
}

int cgroup_tree::mkdir(const std::string& path) {
  place p;
  if (!locate(path, p))
    return -ENOENT;
  if (p.file.empty())
    return -EEXIST;
  const std::string whole = p.path == "/" ? "/" + p.file : p.path + "/" + p.file;
  mounts_[p.mount].insert(whole);
  auto& g = groups_[whole];
  if (!g)
    g = std::make_shared<group>();
  return 0;
}

int cgroup_tree::rmdir(const std::string& path) {
  place p;
  if (!locate(path, p))
    return -ENOENT;
  if (!p.file.empty())
    return -ENOENT;
  if (p.path == "/")
    return -EBUSY;
  const auto g = at(p.path);
  if (!g->procs.empty() || (!p.unified() && g->zombies > 0))
    return -EBUSY;
  for (const auto& other : mounts_[p.mount])
    if (other != p.path && below(other, p.path))
      return -EBUSY;
  mounts_[p.mount].erase(p.path);
  if (p.mount.ends_with("/memory"))
    for (auto& l : g->oom_listeners)
      if (auto e = l.lock()) // v1 tells once more at the end.
        host_.time.in(host_.rng.between(1us, 50us), [e] { e->add(1); });
  drop_if_bare(p.path);
  return 0;
}

void cgroup_tree::drop_if_bare(const std::string& path) {
  for (const auto& [mount, dirs] : mounts_)
    if (dirs.contains(path))
      return;
  auto g = at(path);
  g->removed = true;
  groups_.erase(path);
  g->moved();
}

int cgroup_tree::list(const std::string& path, std::vector<std::string>& out) const {
  place p;
  if (!locate(path, p) || !p.file.empty())
    return -ENOENT;
  for (const auto& dir : mounts_.at(p.mount))
    if (dir != "/" && parent_of(dir) == p.path)
      out.push_back(dir.substr(dir.rfind('/') + 1));
  out.emplace_back("cgroup.procs");
  if (p.unified() && p.path != "/")
    out.insert(out.end(), {"cgroup.events", "cgroup.freeze", "cgroup.kill"});
  return 0;
}

void cgroup_tree::make(const std::string& group_path) {
  for (size_t cut = 1; cut != std::string::npos;) {
    cut = group_path.find('/', cut + 1);
    const std::string path = group_path.substr(0, cut);
    for (auto& [mount, dirs] : mounts_)
      dirs.insert(path);
    if (auto& g = groups_[path]; !g)
      g = std::make_shared<group>();
  }
}

bool cgroup_tree::remove(const std::string& group_path) {
  bool all = true;
  for (const auto& [mount, dirs] : std::map(mounts_))
    if (dirs.contains(group_path))
      all = rmdir(mount + group_path) == 0 && all;
  return all;
}

std::vector<std::string> cgroup_tree::paths() const {
  std::vector<std::string> out;
  for (const auto& [path, g] : groups_)
    if (path != "/")
      out.push_back(path);
  return out;
}

void cgroup_tree::join(process& p, const std::string& group_path) {
  const auto to = at(group_path);
  if (p.in && p.in->procs.erase(p.pid) > 0)
    p.in->moved();
  p.cgroup = group_path;
  p.in = to;
  to->procs.insert(p.pid);
  to->moved();
}

void cgroup_tree::left(process& p) {
  p.in->procs.erase(p.pid);
  ++p.in->zombies;
  p.in->moved();
}

void cgroup_tree::reaped(process& p) { --p.in->zombies; }

bool cgroup_tree::holds(const std::string& group_path, int which) const {
  for (std::string path = group_path; path != "/"; path = parent_of(path))
    if (const auto g = at(path))
      if (((which & 1) && g->frozen_v1) || ((which & 2) && g->frozen_v2))
        return true;
  return false;
}

bool cgroup_tree::populated(const std::string& group_path) const {
  return !members(group_path).empty();
}

std::vector<pid_t> cgroup_tree::members(const std::string& group_path) const {
  std::vector<pid_t> out;
  for (auto it = groups_.lower_bound(group_path); it != groups_.end(); ++it) {
    if (!it->first.starts_with(group_path))
      break;
    if (below(it->first, group_path))
      out.insert(out.end(), it->second->procs.begin(), it->second->procs.end());
  }
  return out;
}

void cgroup_tree::out_of_memory(process& victim) {
  // An exec's own group has no memory controller: its memory is its container's.
  const bool of_exec = victim.cgroup.find("/exec-") != std::string::npos;
  const auto home = of_exec ? parent_of(victim.cgroup) : victim.cgroup;
  const auto own = at(home);
  if (!own)
    return;
  auto count = [this, own, path = home] {
    if (own->memory_limit > 0)
      ++own->oom;
    for (std::string p = path; p != "/"; p = parent_of(p))
      if (const auto g = at(p)) {
        ++g->oom_kill;
        g->moved();
      }
    for (auto& l : own->oom_listeners)
      if (auto e = l.lock())
        e->add(1);
  };
  // The counters are right when the death is seen; who waits for them may hear of it later.
  count();
  host_.log_of_kernel("Memory cgroup out of memory: Killed process " + std::to_string(victim.pid) +
                      " (work) total-vm:1000kB");
  host_.signal(victim, SIGKILL);
}

void cgroup_tree::set_frozen(const place& p, group& g, bool v1, bool on) {
  (v1 ? g.frozen_v1 : g.frozen_v2) = on;
  g.settled = false;
  auto keep = at(p.path);
  host_.time.in(host_.rng.between(5us, 150us), [keep] {
    keep->settled = true;
    keep->moved();
  });
  if (!on)
    for (pid_t pid : members(p.path))
      host_.time.in(host_.rng.between(1us, 30us), [this, pid] {
        if (auto who = host_.find(pid))
          who->go_on();
      });
}

} // namespace gantry::sim
