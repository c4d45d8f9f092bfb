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

/// Sends a signal. Answered when it is sent.
struct kill_request {
  container_ref ref{};
  std::string process{}; ///< Empty: init.
  std::string signal{};  ///< TERM, SIGTERM or 15; empty: KILL.
  bool all = false;    ///< Every process of the container.
  std::string request_id{};
};

/// Signal, grace, SIGKILL. Answered with the settled exit.
struct stop_request {
  container_ref ref{};
  std::optional<nanoseconds> timeout{}; ///< None: the spec's.
  std::string signal{};
  std::string request_id{};
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

} // namespace gantry
