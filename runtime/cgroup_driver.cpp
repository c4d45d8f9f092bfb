#include "runtime/cgroup_driver.hpp"

#include <algorithm>
#include <sys/socket.h>

#include "messages/unix_address.hpp"
#include "runtime/cgroup_files.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

constexpr std::string_view slice_end = ".slice";
constexpr std::string_view scope_end = ".scope";
/// A unit's name has 255 bytes at most: behind the home come a dash, namespace, dot, id, .scope.
constexpr size_t longest_home = 255 - 1 - 63 - 1 - 128 - scope_end.size();
constexpr size_t longest_slice = 255;

/// Of a slice: a for a.slice.
std::string_view stem(std::string_view slice) {
  return slice.substr(0, slice.size() - slice_end.size());
}

bool is_slice(std::string_view name) {
  if (!name.ends_with(slice_end) || name.size() == slice_end.size() || name.size() > longest_slice)
    return false;
  const auto parts = stem(name);
  const bool clean = std::all_of(parts.begin(), parts.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'
           || c == '.' || c == '-';
  });
  return clean && parts.front() != '-' && parts.back() != '-'
         && parts.find("--") == std::string_view::npos;
}

bool listens(io::kernel& k, const std::string& path) {
  const auto at = unix_address_of(path);
  const io::fd s{k, ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  return at && s && ::connect(s.get(), at->get(), unix_address::size) == 0;
}

} // namespace

result<void> check_slice(std::string_view what, const std::string& slice) {
  if (is_slice(slice))
    return {};
  return error{ec::invalid_argument,
               std::string(what) + " " + shown(slice) + " is no name of a slice",
               "with the systemd driver use one such as tenants.slice or tenants-a.slice"};
}

result<void> check_home_slice(std::string_view what, const std::string& slice) {
  if (auto fine = check_slice(what, slice); !fine)
    return fine;
  if (stem(slice).size() <= longest_home)
    return {};
  return error{ec::invalid_argument,
               std::string(what) + " " + shown(slice) + " has more than "
                 + std::to_string(longest_home) + " characters before .slice",
               "use a shorter one: the names of scopes begin with it"};
}

std::string slice_path(std::string_view slice) {
  std::string out;
  const auto parts = stem(slice);
  for (size_t dash = parts.find('-'); dash != std::string_view::npos;
       dash = parts.find('-', dash + 1))
    out.append("/").append(parts.substr(0, dash)).append(slice_end);
  return out.append("/").append(slice);
}

std::string scope_name(std::string_view home, const container_name& name) {
  return std::string(stem(home)).append("-").append(runtime_id(name)).append(scope_end);
}

cgroup_place scope_place(const std::string& home, const std::string& slice,
                         const container_name& name, std::string_view runtime) {
  const auto top = slice_path(slice);
  const auto scope = top + "/" + scope_name(home, name);
  const bool crun = runtime.substr(runtime.rfind('/') + 1).starts_with("crun");
  auto out = crun ? cgroup_place{scope + "/" + std::string(crun_directory), scope}
                  : cgroup_place{scope, top};
  out.unit = slice + ":" + std::string(stem(home)) + ":" + runtime_id(name);
  return out;
}

container_name container_of_scope(std::string_view home, std::string_view scope) {
  const auto begin = std::string(stem(home)) + "-";
  if (!scope.starts_with(begin) || !scope.ends_with(scope_end))
    return {};
  scope.remove_prefix(begin.size());
  scope.remove_suffix(scope_end.size());
  const auto dot = scope.find('.'); // A namespace has none.
  if (dot == std::string_view::npos || dot == 0 || scope.substr(0, dot).size() > 63)
    return {};
  return {std::string(scope.substr(0, dot)), std::string(scope.substr(dot + 1))};
}

std::string own_unit(io::kernel& k) {
  std::string text;
  std::string out;
  if (k.read_small("/proc/self/cgroup", text) < 0)
    return out;
  for_each_line(text, [&out](std::string_view line) { // 0::/system.slice/gantry.service
    const auto name = line.substr(line.rfind('/') + 1);
    if (line.starts_with("0::/") && name.ends_with(".service")
        && name.find('\'') == std::string_view::npos)
      out = name;
  });
  return out;
}

result<void> check_systemd(io::kernel& k, const cgroup_host& host, const std::string& top,
                           const std::string& option) {
  const auto use_the_other = "use " + option + " cgroupfs";
  if (k.exists(top + "/run/systemd/system") != 1)
    return error{ec::unavailable,
                 option + " systemd: systemd does not run this host (there is no "
                 "/run/systemd/system)",
                 use_the_other};
  if (host.mode != cgroup_mode::v2)
    return error{ec::unsupported,
                 option + " systemd: this host has cgroup " + std::string(name_of(host.mode))
                   + ", and the driver needs v2 alone",
                 use_the_other + ", or boot with systemd.unified_cgroup_hierarchy=1"};
  if (!listens(k, top + "/run/dbus/system_bus_socket") && !listens(k, top + "/run/systemd/private"))
    return error{ec::unavailable,
                 option + " systemd: nobody answers at /run/dbus/system_bus_socket nor at "
                 "/run/systemd/private",
                 "start dbus.service, or " + use_the_other};
  return {};
}

} // namespace gantry::runtime
