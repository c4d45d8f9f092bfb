#pragma once

#include <string>
#include <string_view>

#include "io/kernel.hpp"
#include "messages/error.hpp"

namespace gantry::runtime {

/// The last error of a runtime's JSON log (runc: level, msg, time; crun: msg, level, time), in
/// the runtime's own words; empty if there is none. Foreign bytes: anything may stand there.
std::string last_error_in_log(std::string_view log);

/// What a failed command left to be judged by.
struct failed_command {
  std::string step;    ///< create, start, exec, delete, update.
  std::string runtime; ///< Path.
  std::string id;      ///< As the runtime knows the container: NS.ID.
  io::exit_status status;
  std::string log;    ///< Content of its log file.
  std::string output; ///< What it wrote to stderr, where that was ours.
};

/// Our error for it: `container "web": create by runc failed: WORDS`, with the code that the
/// words of runc and crun stand for.
error runtime_error(const failed_command& what);

/// `web` for `default.web`, `ns/web` for `ns.web`.
std::string display_name(std::string_view runtime_id);

/// The file name of a path: `runc`.
std::string_view base_name(std::string_view path);

/// Whether a delete failed only because init has not quite gone yet.
bool is_not_stopped_yet(const error& why);

} // namespace gantry::runtime
