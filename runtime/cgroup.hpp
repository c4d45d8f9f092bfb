#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/loop.hpp"
#include "io/poll.hpp"
#include "messages/gantry.pb.h"
#include "messages/result.hpp"

namespace gantry::runtime {

enum class cgroup_mode : uint8_t { v1, hybrid, v2 };

/// How this host has its cgroups: found once, at start.
struct cgroup_host {
  cgroup_mode mode = cgroup_mode::v2;
  std::string root = "/sys/fs/cgroup";
  std::string unified;                ///< Mount point of the v2 hierarchy, empty on pure v1.
  /// v1 mount points by controller (memory, cpu, cpuacct, pids, freezer, blkio, … and
  /// name=systemd, which only holds processes).
  std::vector<std::pair<std::string, std::string>> controllers;
  bool has_kill = false; ///< cgroup.kill in the unified hierarchy (kernel 5.14).
  bool has_psi = false;

  /// Mount point of a v1 controller, empty if it has none.
  [[nodiscard]] std::string_view mount_of(std::string_view controller) const noexcept;
};

/// The mount point of every hierarchy, once each.
std::set<std::string> mounts_of(const cgroup_host& host);

/// Looks at /proc/self/mountinfo.
result<cgroup_host> detect_cgroups(io::kernel& k);

/// "v1", "hybrid" or "v2".
std::string_view name_of(cgroup_mode mode) noexcept;

/// OOM counters of a container, as far as the host has them.
struct oom_counters {
  uint64_t kills = 0;           ///< oom_kill of the container's cgroup (and below).
  uint64_t limit_hits = 0;      ///< `oom` of the own limit (v2); failcnt, or full once (v1).
  uint64_t ancestor_kills = 0;  ///< Times that a limit of `/gantry` or its namespace was hit (v2).
  std::string ancestor;         ///< The nearest one above whose limit was hit (v2).
  bool has_limit = false;       ///< The container has a memory limit of its own.
};

/// Whose limit an OOM kill was about: `container`, `host`, or `inferred` (v1 cannot tell).
/// A kill with no limit hit is `host`. Empty where nothing was killed since `before`.
std::string_view oom_level(cgroup_mode mode, const oom_counters& before,
                           const oom_counters& now) noexcept;

/// Says that a runtime is about to make the cgroup at `path`: while one of these lives, no
/// `cgroup::remove` on this thread takes the parent directory away from under it.
class cgroup_pin {
public:
  explicit cgroup_pin(std::string_view path);
  ~cgroup_pin();
  cgroup_pin(const cgroup_pin&) = delete;
  cgroup_pin& operator=(const cgroup_pin&) = delete;

private:
  std::string parent_;
};

/// Where a cgroup is.
struct cgroup_place {
  std::string path;
  /// Directories from the root down to this one are not gantry's, and are never removed.
  /// Empty: all of them are.
  std::string keep;
  /// linux.cgroupsPath where systemd makes it, SLICE:PREFIX:NAME; empty: the runtime makes `path`.
  std::string unit;

  cgroup_place(std::string p, std::string k = {}) : path(std::move(p)), keep(std::move(k)) {}
  cgroup_place() = default;
};

/// Where a process is, by its /proc/PID/cgroup.
enum class whereabouts : uint8_t { inside, outside, gone };
/// @param path Of a cgroup; what is below it is inside, in whichever hierarchy.
whereabouts look_where(io::kernel& k, int32_t pid, std::string_view path);

/// One container's cgroup: `/gantry/NS/ID` below every hierarchy. Small files only, a few
/// microseconds each. The directories may come and go under us: ENOENT reads as zero.
class cgroup {
public:
  cgroup(io::kernel& k, const cgroup_host& host, cgroup_place place);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  [[nodiscard]] result<v1::Stats> stats(bool raw) const;
  /// So long its limit has kept it from its CPUs, all of them together (cpu.stat).
  [[nodiscard]] uint64_t throttled_ns() const;
  [[nodiscard]] std::vector<int32_t> pids() const; ///< Of the whole subtree.
  /// Any process in the subtree, as the unified directory says; where there is none, the
  /// others are walked. Who was moved by hand into one hierarchy only is a stray: see below.
  [[nodiscard]] bool populated() const;
  /// @param known Kills that are known: where there are no more, nothing else is looked at.
  [[nodiscard]] oom_counters oom(std::optional<uint64_t> known = {}) const;

  /// Asks for the freeze; `frozen` tells when it is done (v1 may need asking again).
  result<void> freeze();
  result<void> thaw();
  [[nodiscard]] bool frozen() const;

  /// SIGKILL to the whole subtree: cgroup.kill where a unified directory exists, else
  /// freeze, signal each by pidfd, thaw. A frozen v1 group is thawed so that it dies.
  result<void> kill_all();

  /// A signal for each process of the subtree, through its pidfd; SIGKILL is `kill_all`. Who
  /// is forked meanwhile may be missed. Two readings of the lists for 64 processes.
  result<void> signal(int sig);

  /// SIGKILL to whoever is in a v1 directory of it, wherever else it was moved. For a group that
  /// is not populated and cannot be removed.
  result<void> kill_strays();

  /// Removes the empty directories in every hierarchy, deepest first, and the parents below
  /// the hierarchy's root when they are empty (and not pinned: see `cgroup_pin`). What is
  /// populated stays (EBUSY); if that is the container's own, false: try again later.
  bool remove();

  /// Removes the parents below the hierarchy's root, where they are empty and not pinned.
  /// @returns whether the parent is gone everywhere.
  bool remove_parents();

private:
  [[nodiscard]] std::string dir(std::string_view controller) const;
  [[nodiscard]] std::string unified_dir() const;
  [[nodiscard]] std::string home() const; ///< A directory that holds the processes, or empty.
  [[nodiscard]] std::vector<int32_t> pids_below(const std::string& top) const;
  [[nodiscard]] std::vector<int32_t> strays() const;
  result<void> set_frozen(bool wanted);
  void thaw_if_needed();
  int signal_one(int32_t pid);
  bool remove_in(const std::string& mount);
  bool remove_parents_in(const std::string& mount);

  io::kernel& kernel_;
  const cgroup_host& host_;
  std::string path_;
  std::string keep_;
};

/// Tells of OOM kills: v2 by POLLPRI on memory.events, v1 by an eventfd registered with
/// cgroup.event_control. Costs one or two fds per container.
class oom_watch {
public:
  oom_watch(io::loop& l, const cgroup_host& host);
  ~oom_watch(); ///< At any time; `stop` tells when nothing is left in the kernel.

  /// @param f Called on the loop whenever the counters may have moved.
  result<void> start(const std::string& path, std::function<void()> f);
  /// Ends the watch; `f` is called when nothing is in flight and the file is closed.
  void stop(std::function<void()> f);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace gantry::runtime
