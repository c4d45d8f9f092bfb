#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "runtime/cgroup.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t mountinfo_limit = 8u << 20;

/// Controllers of v1 that we know; what else stands in the options is no controller.
constexpr std::array<std::string_view, 14> known_controllers{
  "memory",  "cpu",        "cpuacct",    "cpuset",  "pids", "freezer", "blkio",
  "devices", "perf_event", "net_cls", "net_prio", "hugetlb", "rdma", "misc"};

/// One line of mountinfo, as far as it matters (proc_pid_mountinfo(5)).
struct mount_line {
  int id = 0;
  int parent = 0;
  std::string point;
  std::string_view type;
  std::string_view options; ///< Of the super block.
};

/// Takes the next word off `line`.
std::string_view take_word(std::string_view& line) {
  size_t end = std::min(line.find(' '), line.size());
  std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

/// The kernel writes blank, tab, newline and backslash as three octal digits.
std::string unescaped(std::string_view text) {
  std::string out;
  auto octal = [&text](size_t at) { return text[at] >= '0' && text[at] <= '7'; };
  for (size_t i = 0; i < text.size(); ++i) {
    bool escape = text[i] == '\\' && i + 3 < text.size() && octal(i + 1) && octal(i + 2)
                  && octal(i + 3);
    if (!escape) {
      out += text[i];
      continue;
    }
    out += char((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return out;
}

int number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

mount_line parse_line(std::string_view line) {
  mount_line out;
  out.id = number(take_word(line));
  out.parent = number(take_word(line));
  take_word(line); // device
  take_word(line); // root
  out.point = unescaped(take_word(line));
  take_word(line); // options of the mount
  while (!line.empty() && take_word(line) != "-") {
  }
  out.type = take_word(line);
  take_word(line); // source
  out.options = take_word(line);
  return out;
}

std::vector<mount_line> parse_mounts(std::string_view text) {
  std::vector<mount_line> out;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    if (end > 0)
      out.push_back(parse_line(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

bool covers(std::string_view upper, std::string_view path) {
  if (upper == "/")
    return true;
  return path.starts_with(upper) && (path.size() == upper.size() || path[upper.size()] == '/');
}

bool is_ancestor(const std::vector<mount_line>& all, const mount_line& of, int id) {
  int at = of.parent;
  for (size_t steps = 0; steps < all.size(); ++steps) {
    if (at == id)
      return true;
    auto up = std::find_if(all.begin(), all.end(), [at](const auto& m) { return m.id == at; });
    if (up == all.end() || up->parent == at)
      return false;
    at = up->parent;
  }
  return false;
}

/// A mount that another one was laid over cannot be reached by its path any more. The order
/// of the lines says nothing (an initramfs moves mounts), the parents do.
bool is_hidden(const std::vector<mount_line>& all, const mount_line& x) {
  return std::any_of(all.begin(), all.end(), [&all, &x](const mount_line& y) {
    return y.id != x.id && covers(y.point, x.point) && !is_ancestor(all, x, y.id);
  });
}

void add_controllers(cgroup_host& out, const mount_line& m) {
  std::string_view rest = m.options;
  while (!rest.empty()) {
    size_t end = std::min(rest.find(','), rest.size());
    std::string_view word = rest.substr(0, end);
    bool known = word.starts_with("name=") // systemd's: holds processes, controls nothing
                 || std::find(known_controllers.begin(), known_controllers.end(), word)
                      != known_controllers.end();
    if (known && out.mount_of(word).empty())
      out.controllers.emplace_back(word, m.point);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

/// The cgroup mounts that can be reached. A chroot or a container's root file system may hold
/// mounts of the host's hierarchies, too: those at the usual place are the host's own.
std::vector<mount_line> cgroup_mounts(const std::vector<mount_line>& all) {
  std::vector<mount_line> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out), [&all](const mount_line& m) {
    return (m.type == "cgroup" || m.type == "cgroup2") && !is_hidden(all, m);
  });
  auto is_usual = [](const mount_line& m) { return covers("/sys/fs/cgroup", m.point); };
  if (std::any_of(out.begin(), out.end(), is_usual))
    std::erase_if(out, [&is_usual](const mount_line& m) { return !is_usual(m); });
  return out;
}

/// The root directory of the hierarchy has neither cgroup.kill nor every pressure file:
/// a directory below it tells.
void probe_unified(io::kernel& k, cgroup_host& out) {
  std::string dir = out.unified + "/gantry";
  bool made = k.mkdir(dir, 0755) == 0;
  out.has_kill = k.exists(dir + "/cgroup.kill") == 1;
  out.has_psi = k.exists(dir + "/memory.pressure") == 1;
  if (made)
    k.rmdir(dir);
}

} // namespace

std::string_view cgroup_host::mount_of(std::string_view controller) const noexcept {
  for (const auto& [name, point] : controllers)
    if (name == controller)
      return point;
  return {};
}

result<cgroup_host> detect_cgroups(io::kernel& k) {
  std::string text;
  int rc = k.read_small("/proc/self/mountinfo", text, mountinfo_limit);
  if (rc < 0)
    return from_errno(-rc, "read", "/proc/self/mountinfo");
  cgroup_host out;
  for (const auto& m : cgroup_mounts(parse_mounts(text))) {
    if (m.type == "cgroup")
      add_controllers(out, m);
    else if (out.unified.empty())
      out.unified = m.point;
  }
  if (out.unified.empty() && out.controllers.empty())
    return error{ec::unsupported, "no cgroup file system is mounted on this host",
                 "mount one: mount -t cgroup2 none /sys/fs/cgroup"};
  bool resources = std::any_of(out.controllers.begin(), out.controllers.end(),
                               [](const auto& c) { return !c.first.starts_with("name="); });
  if (!resources && !out.unified.empty()) {
    out.controllers.clear();
    out.mode = cgroup_mode::v2;
    out.root = out.unified;
  } else {
    out.mode = out.unified.empty() ? cgroup_mode::v1 : cgroup_mode::hybrid;
  }
  if (!out.unified.empty())
    probe_unified(k, out);
  return out;
}

std::string_view name_of(cgroup_mode mode) noexcept {
  switch (mode) {
  case cgroup_mode::v1:
    return "v1";
  case cgroup_mode::hybrid:
    return "hybrid";
  case cgroup_mode::v2:
    break;
  }
  return "v2";
}

} // namespace gantry::runtime
