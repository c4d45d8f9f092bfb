#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <set>

#include "runtime/cgroup_files.hpp"
#include "runtime/engine.hpp"
#include "runtime/oci_command.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t environ_limit = 256u << 10;
/// For a process to come out of its exec: its program is read from a disk, at worst.
constexpr io::nanoseconds exec_patience = std::chrono::milliseconds(20);
constexpr uint64_t never = 1; ///< Ticks after boot at which no process was started by us.

/// A whole text as a positive number; 0 if it is none.
template <class T>
T whole_number(std::string_view text) noexcept {
  while (!text.empty() && text.back() == '\n')
    text.remove_suffix(1);
  T value = 0;
  const char* end = text.data() + text.size();
  auto [stop, err] = std::from_chars(text.data(), end, value);
  return err == std::errc{} && stop == end && value > 0 ? value : 0;
}

/// The value of a variable in a /proc/PID/environ.
std::optional<std::string_view> variable(std::string_view environ, std::string_view name) {
  while (!environ.empty()) {
    size_t end = std::min(environ.find('\0'), environ.size());
    auto entry = environ.substr(0, end);
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
      return entry.substr(name.size() + 1);
    environ.remove_prefix(std::min(end + 1, environ.size()));
  }
  return std::nullopt;
}

/// crun's init keeps the environment of the crun that made it until `start`: it belongs to
/// a container already, and no command. It lives in a pid namespace of its own, or else in
/// the container's cgroup.
bool is_in_container(io::kernel& k, const std::string& proc) {
  bool inside = false;
  std::string text;
  if (k.read_small(proc + "/status", text) >= 0)
    for_each_line(text, [&inside](std::string_view line) {
      if (line.starts_with("NSpid:"))
        inside = line.find_first_of('\t') != line.find_last_of('\t');
    });
  if (k.read_small(proc + "/cgroup", text) >= 0)
    for_each_line(text, [&inside](std::string_view line) {
      size_t path = line.find(":/");
      inside = inside || (path != std::string_view::npos
                          && line.substr(path + 1).starts_with("/gantry"));
    });
  return inside;
}

} // namespace

std::set<int32_t> fallen_to_keeper(io::kernel& k) {
  std::string text;
  int32_t self = 0;
  int32_t keeper = 1;
  if (k.read_small("/proc/self/status", text) >= 0)
    for_each_line(text, [&](std::string_view line) {
      if (line.starts_with("Pid:\t"))
        self = whole_number<int32_t>(line.substr(5));
      if (line.starts_with("PPid:\t"))
        keeper = whole_number<int32_t>(line.substr(6));
    });
  std::set<int32_t> out;
  for (const int32_t parent : {keeper, 1})
    for (const int32_t child : children_of(k, parent))
      if (child != self)
        out.insert(child);
  return out;
}

namespace {

/// In the middle of its exec a process has memory and no environment yet (fs/exec.c sets the
/// one, fs/binfmt_elf.c the other).
bool may_be_in_exec(io::kernel& k, const std::string& proc) {
  std::string text;
  bool has_memory = false;
  if (k.read_small(proc + "/status", text) >= 0)
    for_each_line(text, [&has_memory](std::string_view line) {
      has_memory = has_memory || line.starts_with("VmSize:");
    });
  return has_memory && !is_in_container(k, proc);
}

} // namespace

std::vector<orphan_command> find_orphans(io::kernel& k, const std::string& runtime_root) {
  const auto ours = fallen_to_keeper(k);
  std::vector<orphan_command> out;
  /// @returns Whether it has no environment, but may get one.
  const auto look_at = [&](int32_t pid) {
    const auto proc = "/proc/" + std::to_string(pid);
    std::string environ;
    // Gone, or an environment larger than the small one that we give.
    if (k.read_small(proc + "/environ", environ, environ_limit) < 0)
      return false;
    if (environ.empty())
      return ours.contains(pid) && may_be_in_exec(k, proc);
    const auto root = variable(environ, "GANTRY_ROOT");
    const auto op = variable(environ, "GANTRY_OP");
    if (!root || !op || *root != runtime_root || is_in_container(k, proc))
      return false;
    if (const auto ticks = k.start_ticks(pid); ticks >= 0)
      out.push_back({pid, uint64_t(ticks), whole_number<uint64_t>(*op)});
    return false;
  };
  std::vector<std::string> names;
  k.list("/proc", names);
  std::vector<int32_t> unsure;
  for (const auto& name : names)
    if (const auto pid = whole_number<int32_t>(name); pid != 0 && look_at(pid))
      unsure.push_back(pid);
  const auto end = k.monotonic() + exec_patience;
  while (!unsure.empty() && k.monotonic() < end)
    std::erase_if(unsure, [&](int32_t pid) { return !look_at(pid); });
  return out;
}

bool has_variable(io::kernel& k, int32_t pid, std::string_view name, std::string_view value) {
  std::string environ;
  const auto path = "/proc/" + std::to_string(pid) + "/environ";
  return k.read_small(path, environ, environ_limit) >= 0 && variable(environ, name) == value;
}

std::vector<io::process_key> find_marked(io::kernel& k, std::string_view name,
                                         std::string_view value) {
  std::vector<io::process_key> out;
  std::vector<std::string> names;
  k.list("/proc", names);
  for (const auto& n : names) {
    const auto pid = whole_number<int32_t>(n);
    if (pid == 0 || !has_variable(k, pid, name, value))
      continue;
    if (const auto ticks = k.start_ticks(pid); ticks >= 0)
      out.push_back({pid, uint64_t(ticks)});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::pair(a.start_ticks, a.pid) < std::pair(b.start_ticks, b.pid);
  });
  return out;
}

namespace {

result<int32_t> pid_in(io::kernel& k, const std::string& pid_file) {
  std::string text;
  int rc = k.read_small(pid_file, text, 64);
  if (rc < 0)
    return from_errno(-rc, "read", "the pid file " + pid_file);
  auto pid = whole_number<int32_t>(text);
  if (pid == 0)
    return error{ec::runtime_failed, "the pid file " + pid_file + " holds no pid", ""};
  return pid;
}

} // namespace

result<made_process> ended_before(io::kernel& k, const std::string& pid_file) {
  auto pid = pid_in(k, pid_file);
  if (!pid)
    return std::move(pid).why();
  return made_process{{*pid, never}};
}

result<made_process> made_before(io::kernel& k, const io::reaper& r, const std::string& pid_file) {
  auto pid = pid_in(k, pid_file);
  if (!pid)
    return std::move(pid).why();
  auto ticks = k.start_ticks(*pid);
  if (ticks >= 0)
    return made_process{{*pid, uint64_t(ticks)}};
  if (const auto* dead = r.unclaimed(*pid))
    return made_process{{*pid, dead->start_ticks}};
  return error{ec::unknown_outcome,
               "process " + std::to_string(*pid) + " of " + pid_file
                 + " is gone, and nobody knows how it ended",
               ""};
}

} // namespace gantry::runtime
