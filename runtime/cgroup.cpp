#include "runtime/cgroup.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>

#include "runtime/cgroup_files.hpp"

namespace gantry::runtime {

namespace {

/// A container may make directories of its own below; more than these are not looked at.
constexpr size_t max_directories = 4096;
constexpr size_t procs_limit = 8u << 20;
constexpr size_t signalled_at_once = 64; ///< So many pidfds are held.

/// How often a create under way was announced, by the directory it will be made in. One
/// supervisor has one thread; a simulation may run several, one on each thread.
thread_local std::map<std::string, int, std::less<>> pinned;

std::string_view parent_of(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

void add_pids(std::string_view text, std::vector<int32_t>& out) {
  for_each_line(text, [&out](std::string_view line) {
    // 0 is a process of a foreign pid namespace: nothing that could be signalled.
    if (auto pid = int32_t(number_in(line)); pid > 0)
      out.push_back(pid);
  });
}

/// The directory and all below it, the upper ones first.
std::vector<std::string> tree_of(io::kernel& k, const std::string& top) {
  std::vector<std::string> dirs;
  if (k.exists(top) != 1)
    return dirs;
  dirs.push_back(top);
  std::vector<std::string> names;
  for (size_t i = 0; i < dirs.size() && dirs.size() < max_directories; ++i) {
    std::string stat;
    if (k.read_small(dirs[i] + "/cgroup.stat", stat) >= 0 && !stat.empty()
        && value_of(stat, "nr_descendants") == 0)
      continue; // the unified hierarchy tells without a listing
    names.clear();
    if (k.list(dirs[i], names) < 0)
      continue;
    for (const auto& name : names) {
      std::string below = dirs[i] + "/" + name;
      if (k.exists(below + "/cgroup.procs") == 1)
        dirs.push_back(std::move(below));
    }
  }
  return dirs;
}

bool is_gone(int rc) {
  return rc == -ENOENT || rc == -ENODEV;
}

} // namespace

cgroup_pin::cgroup_pin(std::string_view path) : parent_(parent_of(path)) {
  if (!parent_.empty())
    ++pinned[parent_];
}

cgroup_pin::~cgroup_pin() {
  if (parent_.empty())
    return;
  auto at = pinned.find(parent_);
  if (at != pinned.end() && --at->second == 0)
    pinned.erase(at);
}

std::set<std::string> mounts_of(const cgroup_host& host) {
  std::set<std::string> out;
  for (const auto& [name, point] : host.controllers)
    out.insert(point);
  if (!host.unified.empty())
    out.insert(host.unified);
  return out;
}

cgroup::cgroup(io::kernel& k, const cgroup_host& host, cgroup_place place)
  : kernel_(k), host_(host), path_(std::move(place.path)), keep_(std::move(place.keep)) {}

std::string cgroup::dir(std::string_view controller) const {
  if (host_.mode == cgroup_mode::v2)
    return host_.unified + path_;
  auto mount = host_.mount_of(controller);
  return mount.empty() ? std::string() : std::string(mount) + path_;
}

std::string cgroup::unified_dir() const {
  return host_.unified.empty() ? std::string() : host_.unified + path_;
}

whereabouts look_where(io::kernel& k, int32_t pid, std::string_view path) {
  std::string text;
  if (k.read_small("/proc/" + std::to_string(pid) + "/cgroup", text) < 0)
    return whereabouts::gone;
  auto out = whereabouts::outside;
  for_each_line(text, [&out, path](std::string_view line) { // 4:memory:/gantry/default/web
    const auto at = line.find(":/");
    if (at == std::string_view::npos)
      return;
    const auto there = line.substr(at + 1);
    if (there.starts_with(path) && (there.size() == path.size() || there[path.size()] == '/'))
      out = whereabouts::inside;
  });
  return out;
}

std::string cgroup::home() const {
  if (auto unified = unified_dir(); !unified.empty() && kernel_.exists(unified) == 1)
    return unified;
  for (std::string_view controller : {"freezer", "pids", "memory", "cpu", "devices"})
    if (auto at = dir(controller); !at.empty() && kernel_.exists(at) == 1)
      return at;
  return {};
}

std::vector<int32_t> cgroup::pids_below(const std::string& top) const {
  std::vector<int32_t> out;
  for (const auto& at : tree_of(kernel_, top)) {
    std::string text;
    if (kernel_.read_small(at + "/cgroup.procs", text, procs_limit) >= 0)
      add_pids(text, out);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<int32_t> cgroup::pids() const {
  auto top = home();
  return top.empty() ? std::vector<int32_t>{} : pids_below(top);
}

bool cgroup::populated() const {
  std::string text;
  if (auto unified = unified_dir(); !unified.empty()) {
    int rc = kernel_.read_small(unified + "/cgroup.events", text);
    if (rc >= 0)
      return value_of(text, "populated") != 0;
    if (host_.mode == cgroup_mode::v2)
      return false;
  }
  return !strays().empty();
}

/// A hybrid host has each process in every hierarchy; somebody may have moved it in one.
std::vector<int32_t> cgroup::strays() const {
  std::vector<int32_t> out;
  if (host_.mode == cgroup_mode::v2)
    return out;
  for (std::string_view controller : {"freezer", "pids", "memory"})
    if (auto at = dir(controller); !at.empty())
      for (int32_t pid : pids_below(at))
        out.push_back(pid);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

result<void> cgroup::freeze() {
  return set_frozen(true);
}

result<void> cgroup::thaw() {
  return set_frozen(false);
}

result<void> cgroup::set_frozen(bool wanted) {
  bool old = host_.mode != cgroup_mode::v2 && !host_.mount_of("freezer").empty();
  std::string file = old ? dir("freezer") + "/freezer.state" : unified_dir() + "/cgroup.freeze";
  std::string_view word = wanted ? "1" : "0";
  if (old)
    word = wanted ? "FROZEN" : "THAWED";
  int rc = kernel_.write_small(file, word);
  if (rc >= 0)
    return {};
  if (is_gone(rc))
    return error{ec::not_found, "cgroup " + path_ + " does not exist: nothing to "
                                  + (wanted ? "freeze" : "thaw"), ""};
  return from_errno(-rc, wanted ? "freeze" : "thaw", file);
}

bool cgroup::frozen() const {
  std::string text;
  if (host_.mode != cgroup_mode::v2 && !host_.mount_of("freezer").empty())
    return kernel_.read_small(dir("freezer") + "/freezer.state", text) >= 0
           && text.starts_with("FROZEN");
  return kernel_.read_small(unified_dir() + "/cgroup.events", text) >= 0
         && value_of(text, "frozen") != 0;
}

void cgroup::thaw_if_needed() {
  if (host_.mode == cgroup_mode::v2) {
    // SIGKILL acts on frozen processes there. But a runtime calls a group that stays frozen
    // paused, even with nobody in it, and refuses to delete the container.
    kernel_.write_small(unified_dir() + "/cgroup.freeze", "0");
    return;
  }
  auto at = dir("freezer");
  std::string text;
  if (at.empty() || kernel_.read_small(at + "/freezer.state", text) < 0)
    return;
  if (!text.starts_with("THAWED"))
    kernel_.write_small(at + "/freezer.state", "THAWED");
}

result<void> cgroup::kill_all() {
  if (auto unified = unified_dir(); !unified.empty()) {
    int rc = kernel_.write_small(unified + "/cgroup.kill", "1");
    if (rc >= 0 || host_.mode == cgroup_mode::v2) {
      thaw_if_needed();
      return rc >= 0 || is_gone(rc) ? result<void>{}
                                    : from_errno(-rc, "write", unified + "/cgroup.kill");
    }
  }
  auto top = home();
  if (top.empty())
    return {};
  // Freezing closes the race with a process that forks; should it be slow (FREEZING), what
  // was forked meanwhile is met in the next round.
  int worst = 0;
  for (int round = 0; round < 4; ++round) {
    [[maybe_unused]] bool asked = set_frozen(true).ok();
    auto all = pids_below(top);
    for (int32_t pid : all)
      worst = std::min(worst, signal_one(pid));
    thaw_if_needed();
    if (all.empty())
      break;
  }
  return worst == 0 ? result<void>{} : from_errno(-worst, "kill the processes of", path_);
}

result<void> cgroup::signal(int sig) {
  if (sig == SIGKILL)
    return kill_all();
  const auto all = pids();
  std::vector<std::pair<int32_t, io::fd>> held;
  int worst = 0;
  const auto note = [&worst](int rc) {
    if (rc < 0 && rc != -ESRCH) // Who has gone needs none.
      worst = rc;
  };
  for (size_t from = 0; from < all.size(); from += signalled_at_once) {
    held.clear();
    for (size_t i = from; i < std::min(all.size(), from + signalled_at_once); ++i)
      if (const int pidfd = kernel_.pidfd_open(all[i]); pidfd >= 0)
        held.emplace_back(all[i], io::fd{kernel_, pidfd});
      else
        note(pidfd);
    // The numbers are looked at again behind the pidfds: they must still be in this cgroup.
    const auto now = pids();
    for (const auto& [pid, pidfd] : held)
      if (std::binary_search(now.begin(), now.end(), pid))
        note(kernel_.pidfd_signal(pidfd.get(), sig));
  }
  return worst == 0 ? result<void>{} : from_errno(-worst, "signal the processes of", path_);
}

int cgroup::signal_one(int32_t pid) {
  int fd = kernel_.pidfd_open(pid);
  if (fd < 0)
    return fd == -ESRCH ? 0 : fd;
  int rc = kernel_.pidfd_signal(fd, SIGKILL);
  kernel_.close(fd);
  return rc == -ESRCH ? 0 : std::min(rc, 0);
}

bool cgroup::remove_in(const std::string& mount) {
  auto dirs = tree_of(kernel_, mount + path_);
  bool clean = true;
  for (auto at = dirs.rbegin(); at != dirs.rend(); ++at) {
    int rc = kernel_.rmdir(*at);
    clean = clean && (rc >= 0 || is_gone(rc));
  }
  return clean;
}

result<void> cgroup::kill_strays() {
  int worst = 0;
  for (int32_t pid : strays())
    worst = std::min(worst, signal_one(pid));
  return worst == 0 ? result<void>{} : from_errno(-worst, "kill the processes of", path_);
}

bool cgroup::remove() {
  if (path_.size() < 2 || path_.front() != '/')
    return true; // never the root of a hierarchy
  bool clean = true;
  for (const auto& mount : mounts_of(host_))
    clean = remove_in(mount) && clean;
  if (clean)
    remove_parents();
  return clean;
}

bool cgroup::remove_parents() {
  if (pinned.find(parent_of(path_)) != pinned.end())
    return false;
  bool gone = true;
  for (const auto& mount : mounts_of(host_))
    gone = remove_parents_in(mount) && gone;
  return gone;
}

bool cgroup::remove_parents_in(const std::string& mount) {
  // EBUSY (somebody lives there) ends the way up.
  const size_t shortest = std::max<size_t>(keep_.size(), 1);
  bool first = true;
  for (auto up = parent_of(path_); up.size() > shortest; up = parent_of(up)) {
    int rc = kernel_.rmdir(mount + std::string(up));
    if (rc < 0 && !is_gone(rc))
      return !first;
    first = false;
  }
  return true;
}

} // namespace gantry::runtime
