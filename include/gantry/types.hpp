#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gantry/api.hpp>
#include <gantry/result.hpp>

// The nouns of gantry, as plain structs. What each field means is said at length in the
// reference of the bus (messages/gantry.proto, field by field the same); here in short.

namespace gantry {

using nanoseconds = std::chrono::nanoseconds;

/// A wall time (UTC), to the nanosecond. The epoch itself stands for "not yet".
using moment = std::chrono::sys_time<nanoseconds>;

/// Names a container: an id, unique in its namespace.
struct container_ref {
  container_ref() = default;
  container_ref(std::string name, std::string space = "default")
    : id(std::move(name)), ns(std::move(space)) {}
  container_ref(const char* name) : id(name) {}

  std::string id{};         ///< [A-Za-z0-9][A-Za-z0-9_.-]{0,127}
  std::string ns = "default"; ///< [A-Za-z0-9][A-Za-z0-9_-]{0,62}
};

/// A place in the stream of events. Opaque: keep it, hand it back.
struct event_cursor {
  uint64_t epoch = 0;
  uint64_t seq = 0;
};

/// Limits of a container. What has no value is not set (create) or unchanged (update).
struct resource_limits {
  std::optional<int64_t> memory_bytes{};           ///< -1: none.
  std::optional<int64_t> memory_swap_bytes{};      ///< Memory and swap together; -1: none.
  std::optional<int64_t> memory_reservation_bytes{};
  std::optional<double> cpus{};                    ///< 1.5: one and a half.
  std::optional<uint64_t> cpu_shares{};
  std::optional<int64_t> pids{};                   ///< -1: none.
  std::string cpuset_cpus{};
  std::string cpuset_mems{};
  std::map<std::string, std::string> unified{};    ///< Raw files of cgroup v2.
};

/// How a process's output is kept. Zeros stand for the defaults.
struct log_limits {
  uint64_t max_file_bytes = 0;
  uint32_t max_files = 0;
  uint32_t max_line_bytes = 0;
  std::string format{};     ///< json-file (default), cri, raw.
  std::string when_full{};  ///< block (default), drop-oldest, drop-newest.
  uint64_t rate_bytes = 0;  ///< A second; 0: no limit.
  uint64_t burst_bytes = 0; ///< That may come at once; 0: those of one second.
  int64_t max_age_ns = 0;   ///< A new file begins when one is older; 0: never.
  bool compress = false;    ///< Complete files are packed with zstd.
  std::string forward{};    ///< journald or syslog, with :/PATH for a socket elsewhere.
};

/// What a container is. Either a bundle or a root filesystem.
struct container_spec {
  std::string bundle{}; ///< An OCI bundle directory, absolute; never written to.
  std::string rootfs{}; ///< Or a root filesystem, absolute, with the fields below.
  std::vector<std::string> args{};
  std::vector<std::string> env{}; ///< KEY=VALUE
  std::string workdir{};
  std::string user{}; ///< UID[:GID]
  std::string hostname{};
  bool read_only = false;
  std::string network{}; ///< Empty or "none", or "host".
  resource_limits limits{};
  log_limits log{};
  std::map<std::string, std::string> labels{};
  std::map<std::string, std::string> annotations{};
  std::string runtime{}; ///< runc, crun or an absolute path; empty: the supervisor's default.
  bool with_stdin = false;
  bool terminal = false;
  bool remove_on_exit = false;
  std::string stop_signal{};                ///< Empty: SIGTERM.
  std::optional<nanoseconds> stop_timeout{};  ///< None: 10 s.
};

/// What an additional process in a container is.
struct process_spec {
  std::vector<std::string> args{};
  std::vector<std::string> env{}; ///< Added to the container's own.
  std::string workdir{};
  std::string user{};
  bool with_stdin = false;
  bool terminal = false;
  std::vector<std::string> capabilities{}; ///< Empty: the container's own.
  log_limits log{};
};

/// States of a container.
enum class container_state {
  unspecified, creating, created, starting, running, pausing, paused,
  stopping, stopped, restarting, deleting, dead, unknown,
};

/// `running`
GANTRY_API const char* name_of(container_state s) noexcept;

/// The settled end of one process: exactly one for each (instance, run, process).
struct exit_report {
  std::optional<int32_t> code{}; ///< None when a signal ended it, or nobody knows.
  int32_t signal = 0;
  bool core_dumped = false;
  bool oom = false;      ///< An OOM kill is why.
  std::string oom_level{}; ///< container, host or inferred.
  uint64_t stdout_bytes = 0;
  uint64_t stderr_bytes = 0;
  bool io_open = false;  ///< Somebody else still held an output stream open.
  moment at{};         ///< When the kernel reported it.
  bool status_unknown = false;
  uint64_t seq = 0;      ///< Of its event.

  /// As a shell has it: the code, 128 + signal, or 255 where nobody knows.
  [[nodiscard]] int shell_code() const noexcept {
    return code ? int(*code) : signal > 0 ? 128 + int(signal) : 255;
  }
};

/// A container in short.
struct container_summary {
  container_ref ref{};
  uint64_t instance = 0; ///< New at each create.
  uint32_t run = 0;      ///< New at each start.
  container_state state = container_state::unspecified;
  int32_t pid = 0;       ///< Of init, 0 if there is none; for display.
  std::vector<std::string> command{};
  std::map<std::string, std::string> labels{};
  moment created{};
  moment started{};
  std::optional<exit_report> exit{};
  uint32_t execs = 0; ///< Living ones.
  std::string runtime{};
  std::string stuck{}; ///< A step that takes too long; empty if none.
};

/// A process of a container: init or an exec.
struct process_summary {
  std::string id{}; ///< "init", or what the client chose.
  int32_t pid = 0;
  std::string state{}; ///< adding, created, running, exited.
  std::optional<exit_report> exit{};
  bool stdin_open = false;
  bool terminal = false;
  moment started{};
};

/// A container in full.
struct container_detail {
  container_summary summary{};
  std::vector<process_summary> processes{};
  std::string bundle{};
  std::string cgroup{};
  std::string log_dir{};
  std::string rootfs{};
  std::string config_json{}; ///< The OCI configuration as started.
  std::string message{};
};

/// The containers at one place in the stream of events.
struct container_list {
  std::vector<container_summary> containers{};
  event_cursor cursor{}; ///< Events from here on continue this list.
};

/// Use of resources.
struct usage_report {
  container_ref ref{};
  moment read{};
  uint64_t cpu_usage_ns = 0, cpu_user_ns = 0, cpu_system_ns = 0;
  uint64_t throttled_periods = 0, throttled_ns = 0;
  uint64_t memory_bytes = 0, memory_limit_bytes = 0, memory_peak_bytes = 0;
  uint64_t memory_working_set_bytes = 0, swap_bytes = 0;
  uint64_t pids = 0, pids_limit = 0;
  uint64_t io_read_bytes = 0, io_write_bytes = 0;
  uint64_t oom_kills = 0;
  std::map<std::string, std::string> raw{}; ///< File of the cgroup → its content, if asked for.
  std::map<std::string, std::string> psi{}; ///< cpu, io, memory, where the kernel has it.
};

/// A process as the host's kernel shows it.
struct host_process {
  int32_t pid = 0, ppid = 0;
  std::string command{};
  std::string process{}; ///< init or the exec's id, where it is one of ours.
  std::string state{};
  uint64_t cpu_ns = 0, rss_bytes = 0;
};

/// What serves, and on what.
struct version_report {
  std::string gantry, api, runtime, runtime_version, kernel, cgroup{};
};

/// Counters of the supervisor itself.
struct supervisor_report {
  int32_t pid = 0;
  int32_t keeper_pid = 0;
  std::string keeper_state{}; ///< alive, lost or none.
  uint64_t generation = 0;
  event_cursor cursor{}; ///< The newest record.
  moment started{};
  uint64_t turns = 0, slow_turns = 0, longest_turn_ns = 0;
  uint32_t fds = 0, fd_limit = 0;
  uint32_t containers = 0, running = 0;
  uint64_t arena_blocks_used = 0, arena_blocks = 0;
  uint64_t journal_pending_bytes = 0, journal_disk_bytes = 0;
  bool journal_disk_full = false;
  uint64_t rss_bytes = 0;
  std::string state_dir, root_dir{};
};

/// One event.
struct event {
  uint64_t seq = 0, epoch = 0;
  moment time{};
  /// create start exec-added exec-started exit oom paused resumed restored updated kill
  /// create-failed start-failed exec-failed delete gap supervisor-started
  /// supervisor-stopping keeper-lost log-blocked log-unblocked, and what later versions add.
  std::string type{};
  container_ref ref{}; ///< Without an id for what is the supervisor's own.
  uint64_t instance = 0;
  uint32_t run = 0;
  std::string process{};
  int32_t pid = 0;
  uint64_t cause = 0; ///< Number of the record that led to this one; 0: none.
  std::optional<exit_report> exit{};
  std::string message{};
  std::map<std::string, std::string> details{};
  std::map<std::string, std::string> labels{};

  [[nodiscard]] event_cursor cursor() const noexcept { return {epoch, seq}; }
};

} // namespace gantry
