#include "runtime/runtime_errors.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/cgroup_files.hpp"
#include "runtime/ids.hpp"

namespace gantry::runtime {

namespace {

using nlohmann::json;

constexpr size_t longest_words = 2048;

/// Words of runc 1.1 and crun 1.8 (both tried) and what they stand for. All of `needles` must
/// be found, ignoring case; the first row that fits counts.
struct wording {
  std::array<std::string_view, 2> needles;
  ec code;
  std::string_view cure;
};

constexpr std::string_view cure_command =
  "check the command's path and the PATH of the container's environment";
constexpr std::string_view cure_executable =
  "the file needs the execute bit, and must be a program for this machine or a script";
constexpr std::string_view cure_memory = "raise the container's memory limit";
constexpr std::string_view cure_crun =
  "use runc: crun wants a host with cgroup v2 only (systemd.unified_cgroup_hierarchy=1)";

constexpr std::string_view cure_controller =
  "this host lacks the cgroup controller of a limit that was asked for: see cgroup.controllers";

constexpr std::string_view cure_criu = "install CRIU: apt-get install criu";
constexpr std::string_view cure_no_checkpoints =
  "this runtime takes no checkpoints: make the container with --runtime runc";
constexpr std::string_view cure_criu_check = "criu check tells what this kernel lacks";

constexpr std::array wordings{
  wording{{"cgroups in hybrid mode not supported", ""}, ec::unsupported, cure_crun},
  wording{{"the requested cgroup controller", "not available"}, ec::unsupported, cure_controller},
  wording{{"setting cgroup config", "no such file"}, ec::unsupported, cure_controller},
  wording{{"opening file `", "for writing: no such file"}, ec::unsupported, cure_controller},
  wording{{"exec: \"criu\"", "not found"}, ec::unsupported, cure_criu},
  wording{{"unknown command", "checkpoint"}, ec::unsupported, cure_no_checkpoints},
  wording{{"unknown command", "restore"}, ec::unsupported, cure_no_checkpoints},
  wording{{"no help topic for", "checkpoint"}, ec::unsupported, cure_no_checkpoints},
  wording{{"criu failed", ""}, ec::runtime_failed, cure_criu_check},
  wording{{"not found in $path", ""}, ec::command_not_found, cure_command},
  wording{{"exec: \"", "no such file or directory"}, ec::command_not_found, cure_command},
  wording{{"executable file", "no such file or directory"}, ec::command_not_found, cure_command},
  wording{{"exec: \"", "permission denied"}, ec::not_executable, cure_executable},
  wording{{"exec: \"", "is a directory"}, ec::not_executable, cure_executable},
  wording{{"exec: \"", "exec format error"}, ec::not_executable, cure_executable},
  wording{{"exec: \"", "operation not permitted"}, ec::not_executable, cure_executable},
  wording{{"open executable", ""}, ec::not_executable, cure_executable},
  wording{{"exec format error", ""}, ec::not_executable, cure_executable},
  wording{{"oom-killed", ""}, ec::resource_exhausted, cure_memory},
  wording{{"container with given id already exists", ""}, ec::already_exists, ""},
  wording{{"container `", "already exists"}, ec::already_exists, ""},
  wording{{"cannot exec in a paused", ""}, ec::wrong_state, "resume it first"},
  wording{{"is paused", ""}, ec::wrong_state, "resume it first"},
  wording{{"cannot exec in a stopped", ""}, ec::wrong_state, "start it first"},
  wording{{"cannot start a container that has stopped", ""}, ec::wrong_state, ""},
  wording{{"cannot start an already running", ""}, ec::wrong_state, ""},
  wording{{"exec.fifo", "no such file or directory"}, ec::wrong_state, ""},
  wording{{"is not stopped", ""}, ec::wrong_state, ""},
  wording{{"state is not stopped", ""}, ec::wrong_state, ""},
  wording{{"is not in `created` or `stopped` state", ""}, ec::wrong_state, ""},
  wording{{"container not running", ""}, ec::wrong_state, ""},
  wording{{"is not running", ""}, ec::wrong_state, ""},
  wording{{"container does not exist", ""}, ec::not_found, ""},
  wording{{"/status`", "no such file or directory"}, ec::not_found, ""},
  wording{{"cannot open directory", "no such file or directory"}, ec::not_found, ""},
  wording{{"chdir to cwd", ""}, ec::invalid_argument, "check the working directory"},
  wording{{"chdir:", ""}, ec::invalid_argument, "check the working directory"},
  wording{{"rlimit", "operation not permitted"},
          ec::permission_denied,
          "lower the rlimit to gantryd's own hard limit, or give gantryd CAP_SYS_RESOURCE"},
  wording{{"no space left on device", ""}, ec::disk_full, "free some space (or inodes)"},
  wording{{"cannot allocate memory", ""}, ec::resource_exhausted, "free some memory"},
  wording{{"too many open files", ""}, ec::resource_exhausted, "raise LimitNOFILE (ulimit -n)"},
  wording{{"resource temporarily unavailable", ""},
          ec::resource_exhausted,
          "raise the limit of processes (pids, ulimit -u)"},
  wording{{"device or resource busy", ""}, ec::runtime_failed, ""},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

/// One line, of bounded length, that ends at a whole character.
std::string one_line(std::string_view text) {
  std::string out(text.substr(0, longest_words));
  if (out.size() < text.size())
    while (!out.empty() && (uint8_t(out.back()) & 0xc0) == 0x80)
      out.pop_back();
  std::replace_if(
    out.begin(), out.end(), [](char c) { return uint8_t(c) < 0x20; }, ' ');
  while (!out.empty() && out.back() == ' ')
    out.pop_back();
  return out;
}

/// The last line that says anything, without a level in front.
std::string last_line(std::string_view text) {
  std::string_view last;
  for_each_line(text, [&last](std::string_view line) {
    if (line.find_first_not_of(" \t\r") != std::string_view::npos)
      last = line;
  });
  return one_line(last);
}

std::string ending(const io::exit_status& status) {
  if (!status.known)
    return "it ended in an unknown way";
  if (status.signal != 0)
    return "it was ended by " + signal_name(status.signal);
  return "it ended with code " + std::to_string(status.code) + " and said nothing";
}

/// Why the program itself never ran, by the code with which `kernel::spawn` says so.
std::optional<error> never_ran(const failed_command& what) {
  if (!what.status.known || !what.log.empty() || !what.output.empty())
    return std::nullopt;
  const auto runtime = "the runtime " + what.runtime;
  constexpr auto install = "install it (apt-get install runc), or name another with --runtime";
  switch (what.status.code) {
    case 125:
      return error{ec::resource_exhausted,
                   runtime + " cannot be started: too few file descriptors are left",
                   "raise the limit: LimitNOFILE of gantryd (ulimit -n)"};
    case 126: return error{ec::runtime_missing, runtime + " cannot be executed", install};
    case 127: return error{ec::runtime_missing, runtime + " does not exist", install};
    default: return std::nullopt;
  }
}

} // namespace

std::string last_error_in_log(std::string_view log) {
  std::string out;
  for_each_line(log, [&out](std::string_view line) {
    json entry = json::parse(line, nullptr, false);
    if (!entry.is_object())
      return;
    auto level = entry.find("level");
    auto msg = entry.find("msg");
    if (level == entry.end() || msg == entry.end() || !msg->is_string())
      return;
    if (*level == "error" || *level == "fatal")
      out = one_line(msg->get_ref<const std::string&>());
  });
  return out;
}

std::string display_name(std::string_view runtime_id) {
  size_t dot = runtime_id.find('.');
  if (dot == std::string_view::npos)
    return std::string(runtime_id);
  auto ns = runtime_id.substr(0, dot);
  auto id = std::string(runtime_id.substr(dot + 1));
  return ns == "default" ? id : std::string(ns) + "/" + id;
}

std::string_view base_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

error runtime_error(const failed_command& what) {
  auto who = "container \"" + display_name(what.id) + "\": ";
  if (auto why = never_ran(what)) {
    why->message = who + what.step + ": " + why->message;
    return *std::move(why);
  }
  auto words = last_error_in_log(what.log);
  if (words.empty())
    words = last_line(what.output);
  error out{ec::runtime_failed, {}, {}};
  auto low = lower(words);
  for (const auto& row : wordings) {
    bool fits = std::all_of(row.needles.begin(), row.needles.end(), [&low](auto needle) {
      return low.find(needle) != std::string::npos;
    });
    if (!fits)
      continue;
    out.code = row.code;
    out.cure = row.cure;
    break;
  }
  out.message = who + what.step + " by " + std::string(base_name(what.runtime)) + " failed: "
                + (words.empty() ? ending(what.status) : words);
  return out;
}

bool is_not_stopped_yet(const error& why) {
  auto low = lower(why.message);
  return why.code == ec::wrong_state || low.find("device or resource busy") != std::string::npos;
}

} // namespace gantry::runtime
