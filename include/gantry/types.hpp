#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <gantry/api.hpp>
#include <gantry/health.hpp>
#include <gantry/notify.hpp>
#include <gantry/restart.hpp>
#include <gantry/result.hpp>

// The nouns of gantry, as plain structs. What each field means is said at length in the
// reference of the bus (messages/gantry.proto, field by field the same); here in short.

namespace gantry {

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

/// Limits of one block device; 0: none.
struct disk_limit {
  std::string path{}; ///< /dev/sda
  uint64_t read_bps = 0, write_bps = 0;   ///< Bytes a second.
  uint64_t read_iops = 0, write_iops = 0; ///< Operations a second.
};

/// Limits of a container. What has no value is not set (create) or unchanged (update).
struct resource_limits {
  std::optional<int64_t> memory_bytes{};           ///< -1: none.
  std::optional<int64_t> memory_swap_bytes{};      ///< Memory and swap together; -1: none.
  std::optional<int64_t> memory_reservation_bytes{};
  std::optional<double> cpus{};                    ///< 1.5: one and a half.
  std::optional<int64_t> cpu_quota_us{};           ///< In each period; not beside `cpus`.
  std::optional<uint64_t> cpu_period_us{};         ///< 100000 where there is none.
  std::optional<uint64_t> cpu_shares{};
  std::optional<int64_t> pids{};                   ///< -1: none.
  std::string cpuset_cpus{};
  std::string cpuset_mems{};
  std::map<std::string, std::string> unified{};    ///< Raw files of cgroup v2.
  std::optional<uint32_t> io_weight{};             ///< 10 to 1000, against others.
  std::vector<disk_limit> disks{};                 ///< Only at create.
};

/// A limit of setrlimit(2).
struct process_limit {
  std::string type{}; ///< RLIMIT_NOFILE
  uint64_t soft = 0;
  uint64_t hard = 0;
};

/// Something of the host, or a file system in memory, in the container.
struct mount_spec {
  std::string type = "bind"; ///< Or tmpfs.
  std::string source{};      ///< Of a bind: an absolute path of the host, which must exist.
  std::string target{};      ///< Absolute, in the container.
  bool read_only = false;
  std::vector<std::string> options{}; ///< noexec, rshared; of a tmpfs: size=64m, mode=1777
};

/// A device file of the host, or a directory of them.
struct device_spec {
  std::string host_path{}; ///< Below /dev.
  std::string path{};      ///< In the container; empty: the same.
  std::string access{};    ///< Of r, w, m; empty: rwm.
};

/// How a container is confined.
struct security_options {
  std::optional<bool> no_new_privileges{}; ///< None: true; of a bundle: what it says.
  std::string seccomp{};       ///< Empty: gantry's list. unconfined, or the JSON of a profile.
  std::string seccomp_agent{}; ///< A unix socket that gets the notify descriptor.
  std::string apparmor{};      ///< The name of a loaded profile.
  std::string selinux{};       ///< USER:ROLE:TYPE:LEVEL of the process.
  std::string selinux_mount{}; ///< The same, of the files that are mounted.
  bool writable_cgroups = false; ///< For nested managers.
  bool unmasked = false;         ///< /proc and /sys as the host has them.
};

/// The size of a terminal in characters, 1 to 65535 each.
struct terminal_size {
  uint32_t width = 0;
  uint32_t height = 0;
};

/// Named FIFOs at a process's streams, absolute paths; empty: none. One that is not there is
/// made (0600); what is there must be a FIFO of this user's or of root's.
struct fifo_paths {
  std::string in{}; ///< Needs a process with stdin.
  std::string out{};
  std::string err{}; ///< Not with a terminal.
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
  std::string user{}; ///< UID[:GID], or names of the container's own files
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
  std::optional<struct terminal_size> terminal_size{}; ///< At the start.
  fifo_paths fifos{};
  std::vector<mount_spec> mounts{};
  std::vector<std::string> cap_add{};  ///< NET_ADMIN, ALL
  std::vector<std::string> cap_drop{}; ///< Drops come first.
  bool privileged = false; ///< Root of the host in all but name.
  std::vector<process_limit> rlimits{};
  std::vector<device_spec> devices{};
  std::map<std::string, std::string> sysctls{}; ///< Of its own namespaces: net.*, kernel.shm*
  security_options security{};
  std::optional<int32_t> oom_score_adj{}; ///< -1000 (never killed) to 1000 (first).
  std::string cgroup_parent{};            ///< Empty: the supervisor's.
  uint64_t shm_bytes = 0;                 ///< Of /dev/shm; 0: 64 MiB.
  std::vector<uint32_t> groups{};         ///< Further groups of init.
  std::vector<std::string> group_names{}; ///< The same by name, of its own /etc/group.
  std::vector<after_condition> after{};   ///< It is started once all of these hold.
  std::optional<nanoseconds> after_timeout{}; ///< A start that has waited so long fails.
  std::optional<notify_socket> notify{};  ///< None: it says nothing by itself.
  std::optional<restart_policy> restart{}; ///< None: it is not started again.
  std::optional<health_check> health{};    ///< None: nobody asks it.
  std::optional<nanoseconds> max_run{}; ///< A longer run is stopped: a failure. Pauses count.
  std::string oom_policy{}; ///< report (empty), kill_group, restart, stop.
  std::vector<std::string> pressure{}; ///< `memory:full:150ms/2s`, `memory.high`: at most 16.
  std::string pressure_policy{}; ///< When one is crossed: report (empty), restart, stop.
};

/// What becomes of an exec when nobody holds it any more (`wait_request::hold`).
enum class on_disconnect {
  keep, ///< Nothing.
  term, ///< SIGTERM, and ten seconds later SIGKILL for it and all that it started.
  kill, ///< SIGKILL for it and all that it started.
};

/// What an additional process in a container is.
struct process_spec {
  std::vector<std::string> args{};
  std::vector<std::string> env{}; ///< Added to the container's own.
  std::string workdir{};
  std::string user{};
  std::vector<uint32_t> groups{};         ///< Further groups.
  std::vector<std::string> group_names{}; ///< The same by name, of the container's /etc/group.
  bool with_stdin = false;
  bool terminal = false;
  std::vector<std::string> capabilities{}; ///< Empty: the container's own.
  log_limits log{};
  std::vector<process_limit> rlimits{};
  std::optional<bool> no_new_privileges{}; ///< None: the container's own.
  std::string apparmor_profile{};          ///< Empty: the container's own.
  std::optional<struct terminal_size> terminal_size{}; ///< At the start.
  fifo_paths fifos{};
  bool privileged = false; ///< Every capability, and new privileges may be gained.
  std::optional<nanoseconds> timeout{}; ///< Then SIGKILL for it and all that it started.
  enum on_disconnect on_disconnect = on_disconnect::keep;
  std::optional<nanoseconds> ttl{}; ///< So long after its end it is remembered; none: an hour.
};

/// States of a container.
enum class container_state {
  unspecified, creating, created, starting, running, pausing, paused,
  stopping, stopped, restarting, deleting, dead, unknown, checkpointing,
  waiting,
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
  uint64_t stdout_bytes = 0, stderr_bytes = 0;
  bool io_open = false;  ///< Somebody else still held an output stream open.
  moment at{};         ///< When the kernel reported it.
  bool status_unknown = false;
  uint64_t seq = 0;      ///< Of its event.
  std::string checkpoint{}; ///< The one that was being taken, and ended it.
  uint64_t stdout_dropped = 0, stderr_dropped = 0; ///< Bytes that the log gave up, as it may.
  // Of an exec, with all that it started: what its own cgroup counted.
  uint64_t cpu_ns = 0, cpu_user_ns = 0, cpu_system_ns = 0;
  uint64_t max_rss_bytes = 0; ///< Of the largest single process.
  std::string ended_by{};     ///< timeout or disconnect, where gantry ended it for that.
  std::string oom_victim{};   ///< Of init: as `oom_report::victim`; empty: nobody was killed.

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
  std::vector<std::string> waits_for{}; ///< While it waits: `db:healthy`, unmet conditions.
  uint64_t log_dropped = 0; ///< Bytes of init's output that its log gave up.
  std::string health{}; ///< starting, healthy, unhealthy; empty: it has none, or does not run.
  bool ready = false;   ///< It says so itself, or its probes do.
  std::string said{};   ///< Its last STATUS= at its notify socket.
  std::optional<restart_report> restart{}; ///< Once its policy has decided something.
};

/// The log of a process, as it is now.
struct log_report {
  uint64_t stdout_bytes = 0, stderr_bytes = 0;     ///< That it has taken.
  uint64_t stdout_dropped = 0, stderr_dropped = 0; ///< That it gave up.
  uint64_t file = 0; ///< Number of the file being written.
};

/// A checkpoint of a container.
struct checkpoint_summary {
  std::string name{};
  std::string dir{};
  moment created{};
  uint32_t run = 0; ///< Whose state it is.
  bool left_running = false;
  bool tcp_established = false, file_locks = false, external_unix = false;
  bool foreign_dir = false; ///< A client chose the directory: it stays.
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
  struct terminal_size terminal_size{}; ///< As it was set last; 0x0: never.
  log_report log{};
  uint32_t run = 0;     ///< Of the container.
  bool io_open = false; ///< It has exited, and somebody still holds an output stream open.
  std::string cgroup{}; ///< Its own, where it has one.
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
  std::optional<health_report> health{};  ///< None: it has no check, or does not run.
  std::vector<pressure_state> pressure{}; ///< As the spec's thresholds, once it has run.
  std::optional<oom_report> oom{}; ///< None: nothing of this run was killed for want of memory.
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

/// What lies on the disk.
struct disk_report {
  struct container {
    container_ref ref{};
    uint64_t log_bytes = 0; ///< Of all its processes.
    uint32_t log_files = 0;
    uint64_t bundle_bytes = 0;
  };
  uint64_t journal_bytes = 0;
  uint32_t journal_files = 0;
  uint64_t checkpoint_bytes = 0;
  uint32_t checkpoints = 0;
  std::vector<container> containers{};
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
  std::string state_dir, root_dir{}, cgroup_driver{}, cgroup_parent{};
};

/// One event.
struct event {
  uint64_t seq = 0, epoch = 0;
  moment time{};
  /// create start exec-added exec-started exit oom paused resumed restored updated kill
  /// create-failed start-failed exec-failed restart-scheduled restart-cancelled dead health ready
  /// notify evidence health-action hook pressure waiting delete gap supervisor-started
  /// supervisor-stopping keeper-lost log-blocked log-unblocked; probe, if named; later ones.
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
