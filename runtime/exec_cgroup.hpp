#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/cgroup.hpp"

namespace gantry::runtime {

/// CPU time that the processes of a cgroup have used.
struct cpu_time {
  uint64_t all_ns = 0;
  uint64_t user_ns = 0;
  uint64_t system_ns = 0;
};

/// The cgroup of one exec with all that it starts, below its container's: to end and to account
/// it as a whole. It limits nothing. v2: one directory, without controllers. v1 and hybrid: one
/// each for freezer, cpuacct and pids; in the other hierarchies (the unified one, too) the
/// processes stay in the container's. Small files only; ENOENT reads as zero.
class exec_cgroup {
public:
  /// @param container Path of the container's cgroup.
  /// @param serial Of the exec.
  exec_cgroup(io::kernel& k, const cgroup_host& host, std::string container, uint64_t serial);

  [[nodiscard]] std::string path() const; ///< Below each hierarchy's mount point.

  /// Makes the directories. Where they are already that is well.
  result<void> make();

  /// What the runtime's `exec --cgroup` is given.
  [[nodiscard]] std::string option() const;

  [[nodiscard]] bool exists() const;
  [[nodiscard]] cpu_time used() const;

  /// SIGKILL for everybody in it; any signal: see `cgroup::signal`.
  result<void> kill_all();
  result<void> signal(int sig);
  [[nodiscard]] std::vector<int32_t> pids() const;

  /// Removes the directories; false while somebody lives there.
  bool remove();

  /// Removes what earlier execs of this container have left and where nobody lives.
  /// @param keep Serials of execs that are not over.
  static void sweep(io::kernel& k, const cgroup_host& host, const std::string& container,
                    const std::set<uint64_t>& keep);

private:
  [[nodiscard]] std::vector<std::string> mounts() const;

  io::kernel& kernel_;
  const cgroup_host& host_;
  std::string container_;
  std::string name_;
};

} // namespace gantry::runtime
