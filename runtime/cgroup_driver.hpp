#pragma once

#include <string>
#include <string_view>

#include "io/kernel.hpp"
#include "messages/result.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/ids.hpp"

// The systemd driver: the runtime has systemd make a scope for each container, below a slice.
// Without it the runtime makes a container's directory itself (the cgroupfs driver).

namespace gantry::runtime {

/// A slice for containers: its name as systemd has them, NAME.slice, where each dash leads one
/// level down. The root slice is none.
result<void> check_slice(std::string_view what, const std::string& slice);

/// The same of the slice of a supervisor, of whose containers' scopes it begins the names.
result<void> check_home_slice(std::string_view what, const std::string& slice);

/// The directory of a slice that has passed the check: /a.slice/a-b.slice for a-b.slice.
std::string slice_path(std::string_view slice);

/// The scope of a container: HOME-NS.ID.scope, since names of units are unique on a host.
/// @param home The supervisor's slice.
std::string scope_name(std::string_view home, const container_name& name);

/// Where systemd makes it. crun has a directory below the scope, `container`, in which the
/// container lives and where its limits are; runc puts it into the scope itself.
/// @param slice The container's own, or `home`.
/// @param runtime Path of its runtime, of which the last part counts.
cgroup_place scope_place(const std::string& home, const std::string& slice,
                         const container_name& name, std::string_view runtime);

/// What crun's directory below the scope is called: said in a bundle's annotations, too.
inline constexpr std::string_view crun_directory = "container";

/// The container of a scope with this home; a name without an id where it is another's.
container_name container_of_scope(std::string_view home, std::string_view scope);

/// The service of systemd that this process is in, such as gantry.service; empty: none.
std::string own_unit(io::kernel& k);

/// Whether systemd runs this host and answers, and the host's cgroups are those that the driver
/// can do with (v2 alone). Says what is missing, and what to do.
/// @param top Directory in which all of that is looked for: empty for the host.
/// @param option What the driver is chosen by, for the words.
result<void> check_systemd(io::kernel& k, const cgroup_host& host, const std::string& top = {},
                           const std::string& option = "--cgroup-driver");

} // namespace gantry::runtime
