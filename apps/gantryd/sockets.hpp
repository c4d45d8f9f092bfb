#pragma once

#include <string>
#include <vector>

#include "io/handed.hpp"
#include "io/listener.hpp"

namespace gantry::daemon {

struct daemon_options;

// Letters of the sockets that can be handed over.
inline constexpr char bus_mark = 'b';
inline constexpr char fds_mark = 'f';
inline constexpr char metrics_mark = 'm';

/// The sockets that were handed over to this process (`io::take_handed`), named `gantry`, `fds`
/// and `metrics`. Each must stand where the options say that gantryd listens, and belong to root
/// or to who runs this: `invalid_argument` and `permission_denied` name what does not.
result<io::handed_sockets> take_handed_sockets(const daemon_options& options);

/// A listening socket of the daemon, or the one of this mark that was handed over. Those in
/// `groups` may connect beside the owner: mode 0660 where there is one group at most, 0666 where
/// there are several: the peer's credentials decide then.
io::unix_place place_for(const io::shelf_key& key, const std::string& path, int type,
                         const std::vector<gid_t>& groups, char mark);

/// Lets those with a role through the state directory, which is ours alone otherwise.
result<void> open_way(const std::string& state_dir, const std::vector<gid_t>& groups);

} // namespace gantry::daemon
