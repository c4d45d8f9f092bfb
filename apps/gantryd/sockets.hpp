#pragma once

#include <string>
#include <vector>

#include "io/listener.hpp"

namespace gantry::daemon {

/// A listening socket of the daemon. Those in `groups` may connect beside the owner: mode 0660
/// where there is one group at most, 0666 where there are several: the peer's credentials
/// decide then.
io::unix_place place_for(const io::shelf_key& key, const std::string& path, int type,
                         const std::vector<gid_t>& groups);

/// Lets those with a role through the state directory, which is ours alone otherwise.
result<void> open_way(const std::string& state_dir, const std::vector<gid_t>& groups);

} // namespace gantry::daemon
