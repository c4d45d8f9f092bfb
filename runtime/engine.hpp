#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/loop.hpp"
#include "io/reaper.hpp"
#include "messages/result.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/runtime_copy.hpp"

namespace gantry::runtime {

/// Limits of the runtime driver: policy, plain data.
struct engine_policy {
  size_t max_in_flight = 8;   ///< Commands at a time; more wait in order.
  size_t max_queued = 4096;   ///< More are refused (resource_exhausted).
  /// A command that takes longer gives its place to the next one: it is stuck, and stuck
  /// containers delay nobody else.
  io::nanoseconds patience = std::chrono::seconds(2);
  io::nanoseconds create_deadline = std::chrono::seconds(60);
  io::nanoseconds start_deadline = std::chrono::seconds(30);
  io::nanoseconds exec_deadline = std::chrono::seconds(60);
  io::nanoseconds delete_deadline = std::chrono::seconds(30);
  io::nanoseconds update_deadline = std::chrono::seconds(30);
  io::nanoseconds checkpoint_deadline = std::chrono::seconds(120); ///< A restore's, too.
  /// So long the cgroup directories of a namespace stay after its last container.
  io::nanoseconds parent_linger = std::chrono::seconds(5);
  copy_policy copy;

  /// One deadline for every command.
  void set_deadlines(io::nanoseconds d) noexcept {
    create_deadline = start_deadline = exec_deadline = delete_deadline = update_deadline = d;
    checkpoint_deadline = d;
  }
};

/// A process that the runtime made.
struct made_process {
  io::process_key key;
};

/// What CRIU is to take into images, and back.
struct image_options {
  bool tcp_established = false;
  bool file_locks = false;
  bool external_unix = false;
};

/// A create (and start) for the runtime.
struct create_command {
  std::string runtime;         ///< Absolute path.
  std::string id;              ///< `runtime_id`.
  std::string bundle;          ///< Gantry's own.
  /// stdin, stdout, stderr of the container: borrowed until the callback.
  std::array<int, 3> stdio{};
  std::string console;         ///< Instead: the socket that is sent the terminal's master.
  bool by_systemd = false;     ///< The bundle's cgroup is one that systemd makes.
  bool run = false;            ///< `run -d`: create and start in one call.
  uint64_t op = 0;             ///< GANTRY_OP.
  std::string images;          ///< `restore`: from these images, running at once.
  image_options image;         ///< As the images were made.
};

/// A checkpoint for the runtime.
struct checkpoint_command {
  std::string runtime;
  std::string id;
  std::string images; ///< Made by the runtime; its parent is there.
  bool leave_running = false;
  image_options image;
  io::nanoseconds deadline{0}; ///< 0: the policy's.
  uint64_t op = 0;
};

/// An exec for the runtime.
struct exec_command {
  std::string runtime;
  std::string id;
  std::string process_json; ///< The whole OCI process.
  std::string dir;          ///< Where the process file, the pid file and the log go (the bundle).
  std::string name;         ///< A file name part that is unique among living execs.
  std::array<int, 3> stdio{};
  std::string console; ///< As of a create.
  uint64_t op = 0;
  std::string cgroup; ///< For --cgroup; empty: that of the container.
};

/// Counters for `info`, and what the last commands took (for the bench).
struct engine_stats {
  size_t in_flight = 0;
  size_t queued = 0;
  uint64_t commands = 0;
  uint64_t failed = 0;
  uint64_t timed_out = 0;
  uint64_t wall_ns = 0; ///< Sum over all commands, spawn to end.
};

/// Whoever makes containers on this host: the OCI runtime's command line today, a native
/// one beside it later. Every call answers exactly once, on the loop, never from inside.
/// A command over its deadline is killed with what it left in the container's cgroup, and
/// the error names the step. An error carries the runtime's own words, from its JSON log,
/// mapped to our codes (command_not_found, not_executable, already_exists, …).
class engine {
public:
  virtual ~engine() = default;

  virtual void create(create_command c, std::function<void(result<made_process>)> f) = 0;
  virtual void start(std::string runtime, std::string id, std::string bundle, uint64_t op,
                     std::function<void(result<void>)> f) = 0;
  virtual void exec(exec_command c, std::function<void(result<made_process>)> f) = 0;
  /// Deletes the runtime's state; a container that it does not know is success. Retries
  /// while init is still on its way out. `force` kills first.
  virtual void remove(std::string runtime, std::string id, bool force, uint64_t op,
                      std::function<void(result<void>)> f) = 0;
  virtual void update(std::string runtime, std::string id, std::string resources_json, uint64_t op,
                      std::function<void(result<void>)> f) = 0;
  /// Writes the processes of a running container to disk. Where that fails the container may
  /// be left frozen: the caller thaws it.
  virtual void checkpoint(checkpoint_command c, std::function<void(result<void>)> f) = 0;
  /// First line of `RUNTIME --version`, cached.
  virtual void version(std::string runtime, std::function<void(result<std::string>)> f) = 0;

  [[nodiscard]] virtual engine_stats stats() const = 0;
};

/// The OCI runtime by its command line.
/// @param runtime_root The runtime's --root, private to this supervisor.
/// @param cgroup_of Place of the container's cgroup, to empty it after a command over its deadline.
std::unique_ptr<engine>
make_oci_engine(io::loop& l, io::reaper& r, std::string runtime_root, engine_policy policy,
                std::function<cgroup_place(const std::string& id)> cgroup_of);

/// A runtime command left behind by a gantryd that died.
struct orphan_command {
  int32_t pid = 0;
  uint64_t start_ticks = 0;
  uint64_t op = 0; ///< GANTRY_OP of its environment.
};

/// All living processes whose environment names an op of this supervisor
/// (GANTRY_ROOT equals `runtime_root`) and that are still the runtime itself. For the start.
std::vector<orphan_command> find_orphans(io::kernel& k, const std::string& runtime_root);

/// Whose parent a child of ours may have after our death, and a grandchild before it: the keeper,
/// or pid 1. Their children without ourselves.
std::set<int32_t> fallen_to_keeper(io::kernel& k);

/// Whether a process has this variable in its environment.
bool has_variable(io::kernel& k, int32_t pid, std::string_view name, std::string_view value);

/// All living processes with this variable in their environment, the oldest first. For a recovery:
/// it reads that of every process.
std::vector<io::process_key> find_marked(io::kernel& k, std::string_view name,
                                         std::string_view value);

/// The process that a create or exec left behind, from its pid file, if it lives or its
/// death stands in the table; for recovery. `pid_file` as the engine names it.
result<made_process> made_before(io::kernel& k, const io::reaper& r, const std::string& pid_file);

/// The process of a pid file that has come and gone without a word (there was no keeper): a
/// key that no living process has, so that its end is told as unknown.
result<made_process> ended_before(io::kernel& k, const std::string& pid_file);

/// Names of the files that the engine keeps in a bundle. The pid file of a process that was
/// made is taken away by the engine's user, once the process is recorded.
std::string create_pid_file(const std::string& bundle);
std::string exec_pid_file(const std::string& dir, const std::string& name);

/// Finds a runtime: an absolute path that is executable, or a name in PATH's usual places.
/// Empty `wanted`: crun on pure v2 where it is installed, else runc.
result<std::string> find_runtime(io::kernel& k, const std::string& wanted, bool pure_v2);

} // namespace gantry::runtime
