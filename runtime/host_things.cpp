#include "runtime/host_things.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <sys/stat.h>

#include "io/file_ops.hpp"
#include "runtime/check_words.hpp"

namespace gantry::runtime {

namespace {

/// Of /dev with everything in it; a host has some hundreds.
constexpr size_t most_devices = 4096;

/// What a runtime makes itself in every container, and what is of one mount only.
constexpr std::array<std::string_view, 16> not_copied{
  "null", "zero", "full",   "random", "urandom", "tty",         "ptmx",  "console",
  "pts",  "shm",  "mqueue", "fd",     ".lxc",    ".lxd-mounts", ".udev", "log"};

/// One look-up: a chain of ops that keeps itself alive until its answer.
class search : public std::enable_shared_from_this<search> {
public:
  search(io::loop& l, const v1::ContainerSpec& spec, std::function<void(result<host_things>)> f)
    : loop_(l), stat_(l), answer_(std::move(f)) {
    for (const auto& m : spec.mounts())
      if (m.type() == "bind")
        open_.push_back({what::source, m.source(), {}, {}, true});
    if (!spec.security().seccomp_agent().empty())
      open_.push_back({what::agent, spec.security().seccomp_agent(), {}, {}, true});
    for (const auto& limit : spec.resources().io_limits())
      open_.push_back({what::disk, limit.path(), {}, {}, true});
    for (const auto& d : spec.devices())
      open_.push_back({what::device, d.host_path(), d.path().empty() ? d.host_path() : d.path(),
                       d.access().empty() ? "rwm" : d.access(), true});
    if (spec.privileged())
      open_.push_back({what::device, "/dev", "/dev", "rwm", true});
    found_.capabilities = own_capabilities();
    fault_ = missing_module(spec.security());
    if (!fault_)
      fault_ = missing_capability(spec);
  }

  void begin() {
    if (fault_)
      return loop_.post([self = shared_from_this()] { self->answer_(*self->fault_); });
    if (open_.empty())
      return loop_.post([self = shared_from_this()] { self->answer_(std::move(self->found_)); });
    next();
  }

private:
  enum class what : uint8_t { source, agent, disk, device };
  struct task {
    what kind;
    std::string path;
    std::string inside; ///< Of a device: its path in the container.
    std::string access;
    bool named; ///< By the client, not found in a directory.
  };

  std::optional<error> missing_module(const v1::Security& s) const {
    auto& sys = loop_.sys();
    if (auto fine = check_apparmor(sys, "security.apparmor", s.apparmor()); !fine)
      return fine.why();
    if ((!s.selinux().empty() || !s.selinux_mount().empty())
        && sys.exists("/sys/fs/selinux/enforce") != 1)
      return error{ec::unsupported, "security.selinux: this host has no SELinux",
                   "leave the label out"};
    return {};
  }

  /// Of /proc/self/status; all where it cannot be read.
  uint64_t own_capabilities() const {
    constexpr std::string_view name = "CapBnd:";
    std::string text;
    uint64_t out = UINT64_MAX;
    if (loop_.sys().read_small("/proc/self/status", text) < 0)
      return out;
    if (const auto at = text.find(name); at != std::string::npos)
      out = std::strtoull(text.c_str() + at + name.size(), nullptr, 16);
    return out;
  }

  std::optional<error> missing_capability(const v1::ContainerSpec& spec) const {
    const auto all = all_capabilities();
    for (const auto& added : spec.cap_add()) {
      const auto at = std::find(all.begin(), all.end(), full_capability(added));
      if (at == all.end() || ((found_.capabilities >> (at - all.begin())) & 1) != 0)
        continue;
      return error{ec::permission_denied,
                   "cap_add: " + *at + " cannot be given: gantryd does not have it itself",
                   "start gantryd with it (CapabilityBoundingSet= of its service)"};
    }
    return {};
  }

  void next() {
    if (open_.empty())
      return answer_(std::move(found_));
    now_ = std::move(open_.back());
    open_.pop_back();
    stat_.start(now_.path, now_.named, [self = shared_from_this()](int32_t rc) {
      self->look(rc);
    });
  }

  void look(int32_t rc) {
    if (rc < 0 && !now_.named) // It went while we looked: /dev changes.
      return next();
    if (rc < 0)
      return answer_(missing(-rc));
    const auto& x = stat_.found();
    const bool is_block = S_ISBLK(x.stx_mode);
    const bool is_device = is_block || S_ISCHR(x.stx_mode);
    if (now_.kind == what::agent && !S_ISSOCK(x.stx_mode))
      return answer_(not_a("a socket"));
    if (now_.kind == what::disk && !is_block)
      return answer_(not_a("a block device"));
    if (now_.kind == what::disk)
      found_.disks[now_.path] = {x.stx_rdev_major, x.stx_rdev_minor};
    if (now_.kind == what::device && S_ISDIR(x.stx_mode))
      return open_directory();
    if (now_.kind == what::device && is_device)
      found_.devices.push_back({now_.inside, is_block ? 'b' : 'c', x.stx_rdev_major,
                                x.stx_rdev_minor, x.stx_mode & 0777u, x.stx_uid, x.stx_gid,
                                now_.access});
    else if (now_.kind == what::device && now_.named)
      return answer_(not_a("a device"));
    next();
  }

  void open_directory() {
    std::vector<std::string> names;
    // Below /dev (check_spec has looked): a file system in memory.
    if (const int rc = loop_.sys().list(now_.path, names); rc < 0)
      return now_.named ? answer_(from_errno(-rc, "list", now_.path)) : next();
    for (const auto& name : names) {
      const bool skipped = std::find(not_copied.begin(), not_copied.end(), name)
                           != not_copied.end();
      if (!skipped)
        open_.push_back({what::device, now_.path + "/" + name, now_.inside + "/" + name,
                         now_.access, false});
    }
    if (open_.size() + found_.devices.size() > most_devices)
      return answer_(error{ec::resource_exhausted,
                           now_.path + " has more than " + std::to_string(most_devices) + " files",
                           "name the devices that are needed"});
    next();
  }

  [[nodiscard]] std::string field() const {
    constexpr std::array names{"mounts", "security.seccomp_agent", "resources.io_limits",
                               "devices"};
    return names[size_t(now_.kind)];
  }

  [[nodiscard]] error missing(int err) const {
    if (err == ENOENT || err == ENOTDIR)
      return {ec::not_found, field() + ": " + now_.path + " does not exist on the host",
              now_.kind == what::source ? "make it first: mkdir -p " + now_.path
                                        : "check the path, as the daemon sees it"};
    return from_errno(err, "look at", field() + " " + now_.path);
  }

  [[nodiscard]] error not_a(const std::string& thing) const {
    return {ec::invalid_argument, field() + ": " + now_.path + " is not " + thing,
            "name " + thing + " of the host"};
  }

  io::loop& loop_;
  io::stat_op stat_;
  std::function<void(result<host_things>)> answer_;
  std::optional<error> fault_;
  std::vector<task> open_;
  task now_{};
  host_things found_;
};

} // namespace

namespace {

/// Whether the kernel has a profile of this name; nothing where it does not tell, or where the name
/// is none of one profile in our own namespace.
std::optional<bool> is_loaded(io::kernel& k, const std::string& profile) {
  constexpr size_t profiles_limit = 4u << 20;
  std::string text;
  if (profile.starts_with(':') || profile.find("//&") != std::string::npos
      || k.read_small("/sys/kernel/security/apparmor/profiles", text, profiles_limit) < 0)
    return std::nullopt;
  return ("\n" + text).find("\n" + profile + " (") != std::string::npos; // web (enforce)
}

} // namespace

result<void> check_apparmor(io::kernel& k, std::string_view field, const std::string& profile) {
  if (profile.empty() || profile == "unconfined")
    return {};
  std::string text;
  if (k.read_small("/sys/module/apparmor/parameters/enabled", text) < 0 || !text.starts_with("Y"))
    return error{ec::unsupported,
                 std::string(field) + ": the profile \"" + profile
                   + "\" cannot be used: this host has no AppArmor",
                 "boot with apparmor=1 security=apparmor, or leave it out"};
  if (!is_loaded(k, profile).value_or(true))
    return error{ec::not_found,
                 std::string(field) + ": the kernel has no AppArmor profile \"" + profile + "\"",
                 "load it (apparmor_parser -r FILE); aa-status lists those that are there"};
  return {};
}

void find_host_things(io::loop& l, const v1::ContainerSpec& spec,
                      std::function<void(result<host_things>)> f) {
  std::make_shared<search>(l, spec, std::move(f))->begin();
}

} // namespace gantry::runtime
