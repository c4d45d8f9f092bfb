#include "messages/error.hpp"

#include <array>
#include <cerrno>
#include <cstring>

namespace gantry {

namespace {

struct row {
  ec code;
  std::string_view name;
  int grpc;
  int exit_code;
};

constexpr std::array rows{
  row{ec::invalid_argument, "invalid_argument", 3, 125},
  row{ec::not_found, "not_found", 5, 125},
  row{ec::already_exists, "already_exists", 6, 125},
  row{ec::wrong_state, "wrong_state", 9, 125},
  row{ec::permission_denied, "permission_denied", 7, 125},
  row{ec::command_not_found, "command_not_found", 5, 127},
  row{ec::not_executable, "not_executable", 9, 126},
  row{ec::runtime_failed, "runtime_failed", 9, 125},
  row{ec::runtime_missing, "runtime_missing", 9, 125},
  row{ec::deadline_exceeded, "deadline_exceeded", 4, 125},
  row{ec::resource_exhausted, "resource_exhausted", 8, 125},
  row{ec::disk_full, "disk_full", 8, 125},
  row{ec::unavailable, "unavailable", 14, 125},
  row{ec::unsupported, "unsupported", 12, 125},
  row{ec::data_loss, "data_loss", 15, 125},
  row{ec::cancelled, "cancelled", 1, 125},
  row{ec::unknown_outcome, "unknown_outcome", 2, 125},
  row{ec::internal, "internal", 13, 125},
};

consteval bool one_row_each() {
  if (rows.size() != size_t(ec::count_))
    return false;
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].code != ec(i))
      return false;
  return true;
}
static_assert(one_row_each(), "an error code has no row, or the rows are out of order");

struct errno_row {
  int err;
  ec code;
  std::string_view cure;
};

constexpr std::array errno_rows{
  errno_row{ENOENT, ec::not_found, "check the path"},
  errno_row{ENOTDIR, ec::invalid_argument, "a part of the path is not a directory"},
  errno_row{EACCES, ec::permission_denied, "check the owner and the mode, or run as root"},
  errno_row{EPERM, ec::permission_denied, "run as root, or grant the capability"},
  errno_row{EEXIST, ec::already_exists, ""},
  errno_row{ENOSPC, ec::disk_full, "free some space on that file system"},
  errno_row{EDQUOT, ec::disk_full, "raise the quota"},
  errno_row{EROFS, ec::permission_denied, "the file system is mounted read-only"},
  errno_row{EMFILE, ec::resource_exhausted, "raise LimitNOFILE (ulimit -n)"},
  errno_row{ENFILE, ec::resource_exhausted, "raise the sysctl fs.file-max"},
  errno_row{ENOMEM, ec::resource_exhausted, "free some memory"},
  errno_row{EAGAIN, ec::resource_exhausted, "raise the limit of processes (pids, ulimit -u)"},
  errno_row{EXDEV, ec::invalid_argument, "the path leaves the directory it must stay in"},
  errno_row{ELOOP, ec::invalid_argument, "symbolic links are not followed here"},
  errno_row{ENAMETOOLONG, ec::invalid_argument, "use a shorter name"},
  errno_row{ENOSYS, ec::unsupported, "use a newer kernel, or allow the system call in seccomp"},
  errno_row{ETIMEDOUT, ec::deadline_exceeded, ""},
  errno_row{ECANCELED, ec::cancelled, ""},
};

} // namespace

std::string error::text() const {
  return cure.empty() ? message : message + " (" + cure + ")";
}

std::string_view name_of(ec code) noexcept {
  return code < ec::count_ ? rows[size_t(code)].name : "internal";
}

ec code_named(std::string_view name) noexcept {
  for (const auto& r : rows)
    if (r.name == name)
      return r.code;
  return ec::internal;
}

int grpc_status_of(ec code) noexcept {
  return code < ec::count_ ? rows[size_t(code)].grpc : 13;
}

int exit_code_of(ec code) noexcept {
  return code < ec::count_ ? rows[size_t(code)].exit_code : 125;
}

error from_errno(int err, std::string_view deed, std::string_view thing) {
  error out{ec::internal, {}, {}};
  for (const auto& r : errno_rows)
    if (r.err == err) {
      out.code = r.code;
      out.cure = r.cure;
    }
  out.message.append("cannot ").append(deed).append(" ").append(thing).append(": ");
  // NOLINTNEXTLINE(concurrency-mt-unsafe): C.UTF-8 texts are constant
  out.message.append(std::strerror(err));
  return out;
}

} // namespace gantry
