#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/sim_source.hpp"

namespace gantry::sim {

class machine;
struct process;

/// One control group: one path, whatever the number of hierarchies in which it has a
/// directory. `tell` is called when one of its event files changes.
struct group : source {
  bool frozen_v1 = false; ///< freezer.state
  bool frozen_v2 = false; ///< cgroup.freeze
  bool settled = true;    ///< The freeze asked for is complete (FROZEN, `frozen 1`).
  uint64_t oom = 0;       ///< The own limit was hit and could not be met.
  uint64_t oom_kill = 0;  ///< Killed here or below.
  uint64_t high = 0;      ///< Reclaims over memory.high (v2).
  int64_t memory_limit = -1;
  int64_t memory_used = 1 << 20;
  int64_t pids_limit = -1;
  std::set<pid_t> procs;  ///< Living ones, directly here.
  int zombies = 0;
  uint64_t version = 0;   ///< Of the event files.
  bool removed = false;
  std::vector<std::weak_ptr<event_counter>> oom_listeners; ///< v1: cgroup.event_control.

  void moved() {
    ++version;
    tell();
  }
};
using group_ptr = std::shared_ptr<group>;

/// The control groups of the host and their file systems: pure v2, or the hybrid layout (v1
/// controllers on mounts of their own, and a v2 hierarchy without controllers).
class cgroup_tree {
public:
  cgroup_tree(machine& m, bool hybrid);

  static constexpr std::string_view top = "/sys/fs/cgroup";
  [[nodiscard]] static bool owns(std::string_view path) noexcept {
    return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
  }
  [[nodiscard]] std::string mountinfo() const;

  // -- the file system, with the answers of the system calls --
  int read(const std::string& path, std::string& out) const;
  int write(const std::string& path, std::string_view bytes);
  int mkdir(const std::string& path);
  int rmdir(const std::string& path);
  int list(const std::string& path, std::vector<std::string>& out) const;
  [[nodiscard]] bool exists(const std::string& path) const;
  /// The group whose file or directory this is; null if there is none.
  [[nodiscard]] group_ptr group_of_file(const std::string& path) const;

  // -- for those who live on the machine --
  /// Makes the directories in every hierarchy (what a runtime does).
  void make(const std::string& group_path);
  /// Removes the directories; false while somebody is in there.
  bool remove(const std::string& group_path);
  [[nodiscard]] group_ptr at(const std::string& group_path) const;
  [[nodiscard]] std::vector<std::string> paths() const; ///< All but the root.
  void join(process& p, const std::string& group_path);
  void left(process& p);   ///< The process has become a zombie.
  void reaped(process& p); ///< … and is gone.
  [[nodiscard]] bool frozen(const std::string& group_path) const { return holds(group_path, 3); }
  [[nodiscard]] bool frozen_v1(const std::string& group_path) const { return holds(group_path, 1); }
  [[nodiscard]] bool populated(const std::string& group_path) const;
  /// The limit of this group was hit: the victim dies, the counters and listeners hear of it.
  void out_of_memory(process& victim);
  [[nodiscard]] bool hybrid() const noexcept { return hybrid_; }
  /// Every living process at or below a path.
  [[nodiscard]] std::vector<pid_t> members(const std::string& group_path) const;

private:
  struct place {
    std::string mount;
    std::string path; ///< Of the group.
    std::string file; ///< Empty for the directory itself.
    [[nodiscard]] bool unified() const noexcept;
  };
  [[nodiscard]] bool locate(const std::string& path, place& out) const;
  [[nodiscard]] bool holds(const std::string& group_path, int which) const;
  int read_v2(const place& p, const group& g, std::string& out) const;
  int read_v1(const place& p, const group& g, std::string& out) const;
  int write_file(const place& p, group& g, std::string_view bytes);
  void set_frozen(const place& p, group& g, bool v1, bool on);
  [[nodiscard]] std::string procs_text(const place& p) const;
  void drop_if_bare(const std::string& path);

  machine& host_;
  bool hybrid_;
  std::map<std::string, std::set<std::string>> mounts_; ///< Mount → group paths with a directory.
  std::map<std::string, group_ptr> groups_;
};

} // namespace gantry::sim
