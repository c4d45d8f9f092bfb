#pragma once

#include <memory>
#include <string>

#include "tests/sim/sim_machine.hpp"

namespace gantry::sim {

/// What the simulated OCI runtime keeps about a container, beside its files in ROOT/ID.
struct oci_container {
  std::string id;
  std::string bundle;
  std::string cgroup;
  std::weak_ptr<process> init;
  bool created = true; ///< Not started yet.
};

/// All containers of a machine's runtimes, by state directory (ROOT/ID).
using oci_containers = std::map<std::string, oci_container>;

/// Installs /usr/sbin/runc (and /usr/bin/crun on a pure v2 host): create, run -d, start,
/// exec -d, delete, update, state and --version, with runc's steps, times, files and words.
/// Killed in the middle it leaves behind what the real one leaves behind.
/// @returns What the runtimes know, for the checks.
std::shared_ptr<oci_containers> install_runtimes(machine& m);

} // namespace gantry::sim
