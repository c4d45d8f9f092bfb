#include <algorithm>
#include <array>
#include <climits>

#include "io/log_records.hpp"
#include "io/pump.hpp"
#include "runtime/accounts.hpp"
#include "runtime/after_messages.hpp"
#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/health_messages.hpp"
#include "runtime/notify_policy.hpp"
#include "runtime/policy_messages.hpp"
#include "runtime/pressure.hpp"

namespace gantry::runtime {

namespace {

/// The kernel refuses more than this for one exec (ARG_MAX is 2 MiB with the default stack).
constexpr size_t max_args_bytes = 1u << 20;
constexpr size_t max_path = 4095;
constexpr size_t max_hostname = 64; // __NEW_UTS_LEN
constexpr int max_labels = 512;
constexpr size_t max_label_key = 256;
constexpr size_t max_label_value = 16384;
constexpr int64_t longest_stop = 24ll * 3600 * 1'000'000'000;
constexpr int64_t longest_memory = 7 * longest_stop;

result<void> check_label_map(std::string_view field,
                             const google::protobuf::Map<std::string, std::string>& map) {
  if (int(map.size()) > max_labels)
    return bad(field, std::to_string(map.size()) + " entries",
               "at most " + std::to_string(max_labels) + " are allowed");
  for (const auto& [key, value] : map) {
    if (key.empty() || key.size() > max_label_key || !is_clean_text(key))
      return bad(field, "the key " + shown(key),
                 "a key has 1 to " + std::to_string(max_label_key) + " bytes of UTF-8");
    if (value.size() > max_label_value || !is_clean_text(value))
      return bad(field, "the value of " + shown(key),
                 "a value has at most " + std::to_string(max_label_value) + " bytes of UTF-8");
  }
  return {};
}

result<void> check_hostname(const std::string& name) {
  auto fine = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-'
           || c == '.' || c == '_';
  };
  if (name.size() > max_hostname || !std::all_of(name.begin(), name.end(), fine))
    return bad("hostname", shown(name), "use at most 64 letters, digits, dots and hyphens");
  return {};
}

result<void> check_runtime_name(const std::string& name) {
  if (name.empty() || name.front() == '/')
    return check_path("runtime", name.empty() ? "/" : name);
  if (name.find('/') != std::string::npos || !is_clean_text(name) || name.size() > 255)
    return bad("runtime", shown(name), "use a name such as runc, or an absolute path");
  return {};
}

result<void> check_log(const v1::LogOptions& log) {
  if (log.max_file_bytes() != 0 && log.max_file_bytes() < 4096)
    return bad("log.max_file_bytes", std::to_string(log.max_file_bytes()), "use at least 4096");
  if (log.max_file_bytes() > (1ull << 40))
    return bad("log.max_file_bytes", std::to_string(log.max_file_bytes()),
               "use at most 1099511627776 (1 TiB)");
  if (log.max_files() > 10000)
    return bad("log.max_files", std::to_string(log.max_files()), "use at most 10000");
  uint32_t line = log.max_line_bytes();
  if (line != 0 && (line < 64 || line > (1u << 20)))
    return bad("log.max_line_bytes", std::to_string(line), "use 64 to 1048576 (1 MiB)");
  if (!log.format().empty() && !io::log_format_named(log.format()))
    return bad("log.format", shown(log.format()), "use json-file, cri or raw");
  if (!log.when_full().empty() && !io::log_full_named(log.when_full()))
    return bad("log.when_full", shown(log.when_full()), "use block, drop-oldest or drop-newest");
  if (log.max_age_ns() < 0 || (log.max_age_ns() != 0 && log.max_age_ns() < 1'000'000'000))
    return bad("log.max_age_ns", std::to_string(log.max_age_ns()), "use one second or more");
  if (log.rate_bytes() != 0 && (log.rate_bytes() < 1024 || log.rate_bytes() > (1ull << 40)))
    return bad("log.rate_bytes", std::to_string(log.rate_bytes()), "use 1024 to 1099511627776");
  if (const auto& to = log.forward(); !to.empty()) {
    const auto name = to.substr(0, to.find(':'));
    const auto path = name.size() == to.size() ? "/" : to.substr(name.size() + 1);
    if ((name != "journald" && name != "syslog") || !path.starts_with('/') || path.size() > 107 ||
        !is_clean_text(path))
      return bad("log.forward", shown(to),
                 "use journald or syslog, with :/PATH behind it for a socket elsewhere");
  }
  if (log.burst_bytes() != 0 && log.rate_bytes() == 0)
    return bad("log.burst_bytes", std::to_string(log.burst_bytes()), "give log.rate_bytes, too");
  return {};
}

result<void> check_source(const v1::ContainerSpec& spec) {
  if (spec.bundle().empty() == spec.rootfs().empty()) {
    error out{ec::invalid_argument, {}, "give exactly one: an OCI bundle, or a root filesystem "
                                        "with a command"};
    out.message = spec.bundle().empty() ? "neither bundle nor rootfs is given"
                                        : "both bundle and rootfs are given";
    return out;
  }
  if (!spec.bundle().empty()) {
    if (auto done = check_path("bundle", spec.bundle()); !done)
      return done;
    if (!spec.network().empty())
      return bad("network", shown(spec.network()),
                 "a bundle's config.json says itself which network namespace it wants: leave "
                 "it out");
    return {};
  }
  if (auto done = check_path("rootfs", spec.rootfs()); !done)
    return done;
  if (spec.args().empty())
    return error{ec::invalid_argument, "args: no command is given",
                 "name the program that the container runs: -- CMD ARG…"};
  return {};
}

template <class Spec>
result<void> check_terminal(const Spec& spec) {
  if (!spec.has_terminal_size())
    return {};
  if (!spec.terminal())
    return error{ec::invalid_argument, "terminal_size: there is no terminal",
                 "ask for one (terminal), or leave the size out"};
  return check_terminal_size(spec.terminal_size());
}

} // namespace

namespace {

/// What ends an exec and its memory.
result<void> check_exec_end(const v1::ProcessSpec& spec) {
  if (spec.timeout_ns() < 0 || spec.timeout_ns() > longest_stop)
    return bad("timeout_ns", std::to_string(spec.timeout_ns()),
               "use 1 to 86400000000000 (24 hours), or 0 for no limit");
  if (spec.ttl_ns() < 0 || spec.ttl_ns() > longest_memory)
    return bad("ttl_ns", std::to_string(spec.ttl_ns()),
               "use 1 to 604800000000000 (7 days), or 0 for an hour");
  if (!v1::OnDisconnect_IsValid(spec.on_disconnect()))
    return bad("on_disconnect", std::to_string(spec.on_disconnect()), "use KEEP, TERM or KILL");
  if (spec.privileged() && !spec.capabilities().empty())
    return bad("capabilities", "a list beside `privileged`",
               "privileged gives all of them: leave one of the two out");
  return {};
}

} // namespace

error bad(std::string_view field, std::string_view value, std::string_view cure) {
  error out{ec::invalid_argument, {}, std::string(cure)};
  out.message.append(field).append(": ").append(value).append(" is not valid");
  return out;
}

result<void> check_path(std::string_view field, const std::string& path) {
  if (path.empty() || path.front() != '/')
    return bad(field, shown(path), "use an absolute path");
  if (path.size() > max_path || !is_clean_text(path))
    return bad(field, shown(path), "use at most 4095 bytes of UTF-8");
  return {};
}

result<void> check_workdir(const std::string& path) {
  if (path.empty())
    return {};
  if (auto done = check_path("workdir", path); !done)
    return done;
  // A descriptor of the runtime may be reachable below /proc/self/fd (CVE-2024-21626).
  std::string_view rest = path;
  rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
  if (rest == "proc" || rest.starts_with("proc/") || path.find("/../") != std::string::npos
      || path.ends_with("/.."))
    return bad("workdir", shown(path), "use a directory outside /proc, without ..");
  return {};
}

result<void> check_args(const google::protobuf::RepeatedPtrField<std::string>& args) {
  size_t bytes = 0;
  for (int i = 0; i < args.size(); ++i) {
    bytes += args[i].size() + 1;
    if (i == 0 && args[i].empty())
      return bad("args[0]", "an empty name", "name the program that is to run");
    if (!is_clean_text(args[i]))
      return bad("args[" + std::to_string(i) + "]", shown(args[i]),
                 "use valid UTF-8 without a NUL byte");
  }
  if (bytes > max_args_bytes)
    return bad("args", std::to_string(bytes) + " bytes", "use at most 1 MiB together");
  return {};
}

result<void> check_env(const google::protobuf::RepeatedPtrField<std::string>& env) {
  size_t bytes = 0;
  for (int i = 0; i < env.size(); ++i) {
    bytes += env[i].size() + 1;
    size_t equals = env[i].find('=');
    if (equals == 0 || equals == std::string::npos || !is_clean_text(env[i]))
      return bad("env[" + std::to_string(i) + "]", shown(env[i]), "write KEY=VALUE");
  }
  if (bytes > max_args_bytes)
    return bad("env", std::to_string(bytes) + " bytes", "use at most 1 MiB together");
  return {};
}

template <class Spec>
result<void> check_fifos(const Spec& spec) {
  const auto& f = spec.fifos();
  const std::pair<const char*, const std::string&> all[] = {
    {"fifos.stdin", f.stdin_path()},
    {"fifos.stdout", f.stdout_path()},
    {"fifos.stderr", f.stderr_path()}};
  for (const auto& [field, path] : all) {
    if (path.empty())
      continue;
    if (auto fine = check_path(field, path); !fine)
      return fine;
    if (path.back() == '/')
      return bad(field, shown(path), "name a FIFO, not a directory");
    for (const auto& [other, same] : all)
      if (other != field && same == path)
        return bad(field, shown(path), "each stream needs a FIFO of its own");
  }
  if (!f.stdin_path().empty() && !spec.with_stdin())
    return error{ec::invalid_argument, "fifos.stdin: the process has no stdin",
                 "ask for one (with_stdin), or leave the FIFO out"};
  if (!f.stderr_path().empty() && spec.terminal())
    return error{ec::invalid_argument, "fifos.stderr: a terminal's output is all stdout",
                 "leave it out"};
  return {};
}

result<void> check_terminal_size(const v1::TerminalSize& size) {
  const auto fits = [](uint32_t n) { return n >= 1 && n <= 65535; };
  if (fits(size.width()) && fits(size.height()))
    return {};
  return bad("terminal size",
             std::to_string(size.width()) + "x" + std::to_string(size.height()),
             "width and height are 1 to 65535 each");
}

result<void> check_policies(const v1::ContainerSpec& spec) {
  if (auto health = health_policy_of(spec); !health)
    return health.why();
  if (auto notify = notify_policy_of(spec); !notify)
    return notify.why();
  if (spec.max_run_ns() < 0 || (spec.max_run_ns() > 0 && spec.max_run_ns() < 1'000'000))
    return bad("max_run_ns", std::to_string(spec.max_run_ns()) + " ns",
               "use 1ms or more, or 0 for no limit");
  constexpr std::array oom_policies{"", "report", "kill_group", "restart", "stop"};
  if (std::find(oom_policies.begin(), oom_policies.end(), spec.oom_policy()) == oom_policies.end())
    return bad("oom_policy", shown(spec.oom_policy()), "use report, kill_group, restart or stop");
  if (auto pressure = pressure_of(spec); !pressure)
    return pressure.why();
  constexpr std::array pressure_policies{"", "report", "restart", "stop"};
  if (std::find(pressure_policies.begin(), pressure_policies.end(), spec.pressure_policy())
      == pressure_policies.end())
    return bad("pressure_policy", shown(spec.pressure_policy()), "use report, restart or stop");
  if (!spec.pressure_policy().empty() && spec.pressure().empty())
    return bad("pressure_policy", spec.pressure_policy(), "say a threshold of pressure as well");
  auto policy = restart_policy_of(spec);
  return policy ? check_restart(*policy, spec.remove_on_exit()) : result<void>{policy.why()};
}

result<void> check_spec(const v1::ContainerSpec& spec) {
  auto first_error = [](std::initializer_list<result<void>> all) -> result<void> {
    for (const auto& one : all)
      if (!one)
        return one;
    return {};
  };
  auto user = parse_user(spec.user());
  auto after = after_policy_of(spec);
  auto stop = spec.stop_signal().empty() ? result<int>(15) : parse_signal(spec.stop_signal());
  auto done = first_error(
    {check_source(spec), check_args(spec.args()), check_env(spec.env()),
     check_workdir(spec.workdir()), user ? result<void>{} : user.why(),
     check_hostname(spec.hostname()), check_resources(spec.resources()),
     check_label_map("labels", spec.labels()), check_label_map("annotations", spec.annotations()),
     check_runtime_name(spec.runtime()), check_log(spec.log()),
     stop ? result<void>{} : stop.why(), check_terminal(spec), check_fifos(spec),
     check_options(spec), check_policies(spec), after ? result<void>{} : after.why()});
  if (!done)
    return done;
  if (spec.stop_timeout_ns() < 0 || spec.stop_timeout_ns() > longest_stop)
    return bad("stop_timeout_ns", std::to_string(spec.stop_timeout_ns()),
               "use 0 to 86400000000000 (24 hours)");
  if (!spec.network().empty() && spec.network() != "none" && spec.network() != "host")
    return bad("network", shown(spec.network()), "use none or host");
  return {};
}

result<void> check_process(const v1::ProcessSpec& spec) {
  if (spec.args().empty())
    return error{ec::invalid_argument, "args: no command is given",
                 "name the program that is to run: -- CMD ARG…"};
  if (auto done = check_args(spec.args()); !done)
    return done;
  if (auto done = check_env(spec.env()); !done)
    return done;
  if (auto done = check_workdir(spec.workdir()); !done)
    return done;
  if (auto user = parse_user(spec.user()); !user)
    return user.why();
  if (auto done = check_groups(spec.groups(), spec.group_names()); !done)
    return done;
  for (const auto& name : spec.capabilities())
    if (full_capability(name).empty())
      return bad("capabilities", shown(name), "use a name of capabilities(7): CAP_NET_ADMIN");
  if (auto done = check_rlimits("rlimits", spec.rlimits()); !done)
    return done;
  if (!is_clean_text(spec.apparmor_profile()) || spec.apparmor_profile().size() > 255)
    return bad("apparmor_profile", shown(spec.apparmor_profile()), "use the name of a profile");
  if (auto done = check_log(spec.log()); !done)
    return done;
  if (auto done = check_fifos(spec); !done)
    return done;
  if (auto done = check_exec_end(spec); !done)
    return done;
  return check_terminal(spec);
}

result<void> check_images(const std::string& dir) {
  const std::string cure = "name an absolute path without \"..\"";
  const bool climbs = (dir + "/").find("/../") != std::string::npos;
  if (dir.empty() || dir.front() != '/' || climbs || dir.find('\0') != std::string::npos)
    return error{ec::invalid_argument, "\"" + dir + "\" cannot be a directory of images", cure};
  if (dir.size() >= PATH_MAX - 64) // Files have names, too.
    return error{ec::invalid_argument, "the path of the images is too long", cure};
  return {};
}

} // namespace gantry::runtime
