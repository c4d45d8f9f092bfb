#pragma once

#include <functional>
#include <memory>

#include <gantry/streams.hpp>
#include <gantry/types.hpp>

// Commands and their answers. A changing command may carry a request id (a UUID, say): a
// repeat with the same id gets the first answer instead of a second deed. The library gives
// each one an id of its own where there is none, so that it can repeat what a lost connection
// cut off.

namespace gantry {

/// Takes the streams of a process, once, when they are ready: before the process runs.
using stdio_callback = std::function<void(io_bundle)>;

/// Creates a container; with `start`, runs it too.
struct create_request {
  container_ref ref{};
  container_spec spec{};
  bool start = true;
  /// Where given: called with the streams before the container is started; nothing that it
  /// writes is missed.
  stdio_callback on_stdio{};
  io_options stdio{}; ///< For `on_stdio`; its container and process are filled in.
  std::string request_id{};
  /// With `start`: goes on from these images of a checkpoint (absolute), of the same root.
  /// Not with `on_stdio`.
  std::string checkpoint_dir{};
};

/// The answer to `create_request`.
struct created_container {
  uint64_t instance = 0;
  int32_t pid = 0;
  uint64_t seq = 0;
};

/// The answer to a start.
struct started_process {
  int32_t pid = 0;
  uint64_t seq = 0;
};

/// Lets a stopped container go on from a checkpoint: one of its own by name, or images in a
/// directory (absolute). Answered when it runs.
struct restore_request {
  container_ref ref{};
  std::string checkpoint{};
  std::string checkpoint_dir{};
  std::string request_id{};
};

/// Writes the state of a running container's processes to disk (CRIU, through the runtime).
/// Answered when the images are whole.
struct checkpoint_request {
  container_ref ref{};
  std::string name{};         ///< Empty: gantry chooses.
  bool leave_running = false; ///< Else the container has ended afterwards.
  bool tcp_established = false; ///< Connections, too; the peer waits until the restore.
  bool file_locks = false;
  bool external_unix = false; ///< Unix sockets whose other end is outside.
  std::string dir{}; ///< Images go here (absolute, not there yet); empty: gantry keeps them.
  std::optional<nanoseconds> timeout{}; ///< None: the supervisor's own.
  std::string request_id{};
};

/// The answer to `checkpoint_request`.
struct made_checkpoint {
  std::string name{};
  std::string dir{};
  uint64_t seq = 0;
};

/// Which containers are listed. Of a kind any, of the kinds all must hold.
struct list_request {
  std::string ns = "default"; ///< "*": all namespaces.
  bool all = false;           ///< The stopped ones, too.
  std::vector<std::string> ids{}; ///< A part of the id.
  std::vector<container_state> states{}; ///< Any but the living ones is listed without `all`.
  std::map<std::string, std::string> labels{}; ///< All of these.
  std::vector<std::string> label_keys{};       ///< These have a value, whichever it is.
  std::vector<int32_t> exit_codes{}; ///< Of init, 128+N where signal N ended it.
  std::vector<std::string> runtimes{};
};

/// Where a log goes on.
struct log_file {
  uint64_t number = 0;
  std::string path{}; ///< Where it comes to be with the next record.
};

/// Sends a signal. Answered when it is sent.
struct kill_request {
  container_ref ref{};
  std::string process{}; ///< Empty: init.
  std::string signal{};  ///< TERM, SIGTERM or 15; empty: KILL.
  bool all = false;    ///< Every process of the container.
  bool tree = false;   ///< The exec and all that it started.
  std::string request_id{};
};

/// Signal, grace, SIGKILL. Answered with the settled exit.
struct stop_request {
  container_ref ref{};
  std::optional<nanoseconds> timeout{}; ///< None: the spec's.
  std::string signal{};
  std::string request_id{};
};

/// Changes a container: what is not given stays as it is. Limits need a living one.
struct update_request {
  container_ref ref{};
  resource_limits limits{};
  std::optional<restart_policy> restart{}; ///< Takes the place of the present one.
  std::optional<health_check> health{};    ///< The same; without probes it is switched off.
  std::string request_id{};
};

/// The answer to `run_probe`.
struct ran_probe {
  probe_result result{};
  health_report health{}; ///< With this result.
};

/// A container shortly before the supervisor ended it by itself: at most about 64 KiB.
struct evidence {
  evidence_summary kept{};
  std::string log{}; ///< The last lines of both streams, as UTF-8.
  std::vector<host_process> processes{};
  std::map<std::string, std::string> cgroup{}; ///< File → its content.
  std::map<std::string, std::string> psi{}; ///< cpu, io, memory, where the kernel has it.
};

/// Removes a container and all that belongs to it.
struct remove_request {
  container_ref ref{};
  bool force = false; ///< A living one, too.
  std::string request_id{};
};

/// Waits for the end of a process; works after the container was removed, too.
struct wait_request {
  container_ref ref{};
  std::string process{}; ///< Empty: init.
  uint64_t instance = 0; ///< 0: the current one, or the last.
  /// This wait holds the process: when the last such wait breaks off, `on_disconnect` is done.
  bool hold = false;
};

/// The answer to `wait_request`.
struct waited_exit {
  exit_report exit{};
  uint64_t instance = 0;
  uint32_t run = 0;
};

/// Runs another process in a container. Answered when it runs.
struct exec_request {
  container_ref ref{};
  std::string process{}; ///< Your name for it; empty: gantry chooses.
  process_spec spec{};
  stdio_callback on_stdio{}; ///< Where given: called with its streams.
  io_options stdio{};      ///< For `on_stdio`; its container and process are filled in.
  std::string request_id{};
};

/// The answer to `exec_request`.
struct exec_started {
  std::string process{};
  int32_t pid = 0;
  uint64_t seq = 0;
  uint64_t instance = 0;
};

/// Runs another process, waits for its end, and brings the two ends of what it wrote.
struct exec_sync_request {
  container_ref ref{};
  std::string process{}; ///< Your name for it; empty: gantry chooses.
  process_spec spec{};
  std::optional<uint64_t> head_bytes{}; ///< Of each stream; none: 32 KiB, at most 1 MiB.
  std::optional<uint64_t> tail_bytes{}; ///< The same.
  std::string request_id{};
};

/// The two ends of a stream; the whole is in the log.
struct stream_ends {
  std::string head{};
  std::string tail{};
  uint64_t total_bytes = 0;
  uint64_t omitted_bytes = 0; ///< 0: head and tail, one behind the other, are the whole.
};

/// The answer to `exec_sync_request`.
struct exec_result {
  std::string process{};
  int32_t pid = 0;
  uint64_t instance = 0;
  exit_report exit{};
  stream_ends out{};
  stream_ends err{};
};

} // namespace gantry
