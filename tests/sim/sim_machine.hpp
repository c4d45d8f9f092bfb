#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/sim_cgroup.hpp"
#include "tests/sim/sim_clock.hpp"
#include "tests/sim/sim_fs.hpp"
#include "tests/sim/sim_inbox.hpp"
#include "tests/sim/sim_keeper.hpp"
#include "tests/sim/sim_network.hpp"
#include "tests/sim/sim_options.hpp"
#include "tests/sim/sim_process.hpp"

namespace gantry::sim {

/// Makes what an executable does.
using program_maker = std::function<std::unique_ptr<program>(const process&)>;

/// The simulated host: what lives on while gantryd comes and goes. One thread.
class machine {
public:
  explicit machine(machine_options o);
  ~machine();
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;

  machine_options options;
  std::string boot_id = "7d0c9e3a-0000-4000-8000-000000000001";
  dice rng;
  clock time;
  file_tree files;
  cgroup_tree groups;
  keeper shelf_keeper;
  network peers;

  /// Sockets for datagrams, by path: those of living descriptors.
  std::map<std::string, std::weak_ptr<inbox>> inboxes;
  /// A datagram of process `pid`; 0, or a negated errno as sendto(2) with MSG_DONTWAIT has it.
  int send(const std::string& path, std::string bytes, pid_t pid);

  /// What /dev/kmsg gives, a record each.
  std::vector<std::string> kernel_log;
  void log_of_kernel(const std::string& text);

  /// Puts an executable at an absolute path.
  void install(const std::string& path, program_maker f);
  /// What a container's program of this name does (its args are the process's argv).
  void install_in_containers(const std::string& name, program_maker f);
  [[nodiscard]] const program_maker* container_program(const std::string& name) const;

  // -- processes --
  [[nodiscard]] process_ptr find(pid_t pid) const; ///< Living, dying or zombie.
  [[nodiscard]] const std::map<pid_t, process_ptr>& processes() const noexcept { return table_; }
  /// A new process, without a program yet.
  process_ptr fork(const process_ptr& parent);
  /// Puts a process into a pid namespace; false if its init has ended (fork says ENOMEM).
  bool enter(process& p, const std::shared_ptr<pid_namespace>& ns);
  /// Becomes what lies at `path`: 127 if nothing does, 126 if it is no executable.
  void exec(process& p, const std::string& path);
  /// Sends a signal; it arrives a little later.
  void signal(process& p, int sig);
  void end(process& p, int wait_status);
  void reap(process& p);
  /// Frees every process that waits uninterruptibly (the disk came back).
  void release_stuck();
  [[nodiscard]] const process_ptr& keeper_process() const noexcept { return keeper_process_; }
  /// Everybody who ever lived, in the order of birth; cut by `forget_the_dead`.
  [[nodiscard]] const std::vector<process_ptr>& history() const noexcept { return history_; }
  void forget_the_dead();

  // -- small files: procfs, cgroupfs, tmpfs; answers as the system calls give them --
  int read_file(const std::string& path, std::string& out) const;
  [[nodiscard]] bool exists(const std::string& path) const;
  int list(const std::string& path, std::vector<std::string>& out) const;
  [[nodiscard]] static bool in_proc(std::string_view path) noexcept {
    return path == "/proc" || path.starts_with("/proc/");
  }


private:
  void become_zombie(process& p);
  int read_proc(const std::string& path, std::string& out) const;
  [[nodiscard]] pid_t free_pid(uint64_t ticks);

  std::map<std::string, program_maker> executables_;
  std::map<std::string, program_maker> container_programs_;
  std::map<pid_t, process_ptr> table_;
  std::map<pid_t, uint64_t> last_ticks_; ///< Of the last owner of a pid.
  std::vector<process_ptr> history_;
  process_ptr keeper_process_;
  pid_t next_pid_ = 100;
};

} // namespace gantry::sim
