#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gantry {

/// Every way in which a request can fail. One row per value stands in error.cpp
/// (name, gRPC status, exit code of the command line, sentence); a static_assert
/// holds the two together.
enum class ec : uint8_t {
  invalid_argument,   ///< The request can never work as it is written.
  not_found,          ///< No such container, process or file.
  already_exists,     ///< The name is taken.
  wrong_state,        ///< Not now: the state forbids it (paused, stopped, being deleted).
  permission_denied,  ///< The caller or the supervisor may not.
  command_not_found,  ///< The container's program does not exist in its root.
  not_executable,     ///< The container's program cannot be executed.
  runtime_failed,     ///< The OCI runtime answered with an error.
  runtime_missing,    ///< No OCI runtime was found or it cannot be started.
  deadline_exceeded,  ///< A step took longer than it may; the message names the step.
  resource_exhausted, ///< A limit was hit: fds, queue, arena, size.
  disk_full,          ///< The journal or log disk has no room.
  unavailable,        ///< The supervisor is not reachable or is going away.
  unsupported,        ///< This host, kernel or version cannot do it.
  data_loss,          ///< A file is damaged; the message says where.
  cancelled,          ///< The caller or a shutdown ended the request.
  unknown_outcome,    ///< It cannot be determined what happened.
  internal,           ///< A bug in gantry.
  count_,
};

/// What went wrong, said once and completely.
struct error {
  ec code = ec::internal;
  std::string message; ///< Names the thing and the cause: `container "web": no such bundle: /x`.
  std::string cure;    ///< What the reader can do about it; may be empty.

  /// `message`, and the cure behind it where there is one, on one line.
  [[nodiscard]] std::string text() const;
};

/// Fixed name of a code, as it travels on the bus: `invalid_argument`.
std::string_view name_of(ec code) noexcept;

/// The code with this name; `ec::internal` for a name of a newer version.
ec code_named(std::string_view name) noexcept;

/// gRPC status number for a code (grpc.io status codes).
int grpc_status_of(ec code) noexcept;

/// Exit code of `gantry` for a code: 125, 126 or 127, as `docker run` has them.
int exit_code_of(ec code) noexcept;

/// An error from an errno: names the deed and the thing, and cures the usual ones.
/// @param err A positive errno.
error from_errno(int err, std::string_view deed, std::string_view thing);

} // namespace gantry
