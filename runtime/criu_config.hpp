#pragma once

#include <functional>
#include <string>

#include "io/loop.hpp"
#include "messages/result.hpp"

namespace gantry::runtime {

/// Tells CRIU in which cgroup a container that will be restored belongs: that of its own bundle.
/// CRIU would put it into the cgroup of its checkpoint, whoever's that is now; runc names another
/// one to it on cgroup v1 only.
///
/// Writes BUNDLE/criu.conf and names it in BUNDLE/config.json (`org.criu.config`). What had been
/// named there, or where nothing was /etc/criu/runc.conf, which may be missing, comes first in it.
/// @param bundle Gantry's own, with its config.json.
/// @param cgroup Its path; empty: as linux.cgroupsPath says.
/// @param f      On the loop. Fails where a file cannot be read or written, or is none of ours.
void tell_criu_cgroup(io::loop& l, const std::string& bundle, std::string cgroup,
                      std::function<void(result<void>)> f);

} // namespace gantry::runtime
