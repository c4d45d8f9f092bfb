#include "options.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <grp.h>
#include <set>
#include <toml++/toml.h>

#include "gateways/bus/fd_server.hpp"
#include "io/listener.hpp"
#include "runtime/cgroup_driver.hpp"

namespace gantry::daemon {

namespace {

constexpr double least_seconds = 0.1, most_seconds = 86400;

constexpr const char* about =
  "Supervises OCI containers: starts them through runc or crun, and keeps their output, their\n"
  "exits and their events, whatever happens to itself.\n\n"
  "Run as root. It places a small keeper above itself (gantry-keeper), which restarts it when it\n"
  "dies; containers do not notice.";

constexpr const char* footer =
  "\nSignals: SIGTERM and SIGINT end it in order (see --on-stop); SIGQUIT, too, and stops the\n"
  "containers in any case.\n"
  "Exit codes: 0 ended in order, 64 wrong usage, 69 cannot serve here, 78 wrong configuration.\n"
  "Files: STATE/gantry.sock (the bus), STATE/fds.sock (descriptors), ROOT/journal, ROOT/logs.\n"
  "Example: gantryd --state /run/gantry --root /var/lib/gantry &\n"
  "         gantry run --rootfs /srv/web -- /bin/httpd -f";

/// A group by its number or its name; what is wrong with it, or nothing.
std::string take_group(const std::string& text, std::vector<gid_t>& into) {
  gid_t number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong == std::errc{} && end == text.data() + text.size() && number != gid_t(-1)) {
    into.push_back(number);
    return {};
  }
  const auto* group = ::getgrnam(text.c_str()); // NOLINT(concurrency-mt-unsafe): one thread
  if (group == nullptr)
    return "there is no group \"" + text + "\": name one that exists, or give its number";
  into.push_back(group->gr_gid);
  return {};
}

std::string take_groups(const std::vector<std::string>& texts, std::vector<gid_t>& into) {
  for (const auto& text : texts)
    if (auto wrong = take_group(text, into); !wrong.empty())
      return wrong;
  return {};
}

/// A group, or a list of them, of the configuration file.
std::string read_groups(const toml::node& node, std::vector<gid_t>& into) {
  if (const auto* list = node.as_array()) {
    for (const auto& x : *list)
      if (auto wrong = x.is_array() ? "a list in a list" : read_groups(x, into); !wrong.empty())
        return wrong;
    return {};
  }
  if (const auto* number = node.as_integer())
    return take_group(std::to_string(number->get()), into);
  if (const auto* text = node.as_string())
    return take_group(text->get(), into);
  return "must be a group, or a list of groups";
}

/// Takes values of the file into options that the command line has not set; answers with what is
/// wrong.
struct config_values {
  const std::string& file;
  const std::set<std::string>& given;

  std::string text(const std::string& key, std::string& into, const toml::node& node) const {
    const auto* s = node.as_string();
    if (s == nullptr)
      return file + ": " + key + " must be a string";
    if (!given.contains(key))
      into = s->get();
    return {};
  }

  std::string seconds(const std::string& key, double& into, const toml::node& node) const {
    const auto s = node.value<double>();
    if (!s || !(*s >= least_seconds && *s <= most_seconds))
      return file + ": " + key + " must be a number of seconds from 0.1 to 86400";
    if (!given.contains(key))
      into = *s;
    return {};
  }

  std::string share(const std::string& key, double& into, const toml::node& node) const {
    const auto s = node.value<double>();
    if (!s || !(*s >= 0 && *s <= 1))
      return file + ": " + key + " must be a number from 0 to 1";
    if (!given.contains(key))
      into = *s;
    return {};
  }

  std::string count(const std::string& key, size_t& into, int64_t low, int64_t high,
                    const toml::node& node) const {
    const auto n = node.value<int64_t>();
    if (!n || *n < low || *n > high)
      return file + ": " + key + " must be a number from " + std::to_string(low) + " to "
             + std::to_string(high);
    if (!given.contains(key))
      into = size_t(*n);
    return {};
  }
};

/// @param span Seconds; 0: as it is.
void take_hook_time(daemon_options& o, double span) {
  if (span > 0)
    o.supervisor.hook_ms = static_cast<uint32_t>(span * 1000);
}

/// Reads the file; an unknown key is an error that names it, not a surprise later.
std::string read_config(daemon_options& o, const std::set<std::string>& given) {
  toml::table table;
  try {
    table = toml::parse_file(o.config);
  } catch (const toml::parse_error& e) {
    return o.config + ":" + std::to_string(e.source().begin.line) + ": "
           + std::string{e.description()};
  }
  const config_values values{o.config, given};
  for (auto&& [name, node] : table) {
    const std::string key{name.str()};
    std::string wrong;
    std::string on_stop = o.stop_containers ? "stop" : "leave";
    if (key == "state")
      wrong = values.text(key, o.supervisor.state_dir, node);
    else if (key == "root")
      wrong = values.text(key, o.supervisor.root_dir, node);
    else if (key == "socket")
      wrong = values.text(key, o.socket, node);
    else if (key == "runtime")
      wrong = values.text(key, o.supervisor.runtime, node);
    else if (key == "cgroup-parent")
      wrong = values.text(key, o.supervisor.cgroup_parent, node);
    else if (key == "cgroup-driver")
      wrong = values.text(key, o.cgroup_driver, node);
    else if (key == "log-level")
      wrong = values.text(key, o.log_level, node);
    else if (key == "read-gid" || key == "operate-gid") {
      auto& groups = key == "read-gid" ? o.roles.read_groups : o.roles.operate_groups;
      if (!given.contains(key))
        wrong = read_groups(node, groups);
      if (!wrong.empty())
        wrong = o.config + ": " + key + ": " + wrong;
    } else if (key == "on-stop") {
      wrong = values.text(key, on_stop, node);
      if (wrong.empty() && on_stop != "stop" && on_stop != "leave")
        wrong = o.config + ": on-stop is \"" + on_stop + "\": use stop or leave";
      o.stop_containers = on_stop == "stop";
    } else if (key == "metrics-listen")
      wrong = values.text(key, o.metrics.listen, node);
    else if (key == "metrics-containers")
      wrong = values.count(key, o.metrics.most_containers, 0, 100'000, node);
    else if (key == "max-runtime-commands")
      wrong = values.count(key, o.engine.max_in_flight, 1, 1024, node);
    else if (key == "max-exec-probes")
      wrong = values.count(key, o.supervisor.exec_probes, 0, 10'000, node);
    else if (key == "hook-timeout") {
      double span = 0;
      wrong = values.seconds(key, span, node);
      take_hook_time(o, span);
    } else if (key == "probe-jitter")
      wrong = values.share(key, o.supervisor.probe_jitter, node);
    else if (key == "runtime-deadline")
      wrong = values.seconds(key, o.runtime_deadline, node);
    else if (key == "runtime-copy") {
      wrong = values.text(key, o.runtime_copy, node);
      if (wrong.empty() && o.runtime_copy != "auto" && o.runtime_copy != "never")
        wrong = o.config + ": runtime-copy is \"" + o.runtime_copy + "\": use auto or never";
    } else if (key == "cgroup-linger")
      wrong = values.seconds(key, o.cgroup_linger, node);
    else
      wrong = o.config + ": unknown key \"" + key + "\"";
    if (!wrong.empty())
      return wrong;
  }
  return {};
}

std::string wrong_slice(const daemon_options& o) {
  const auto fine = runtime::check_home_slice("--cgroup-parent", o.supervisor.cgroup_parent);
  return fine ? std::string() : fine.why().text();
}

std::string wrong_paths(const daemon_options& o) {
  for (const auto& [name, path] : {std::pair{"--state", o.supervisor.state_dir},
                                   std::pair{"--root", o.supervisor.root_dir},
                                   std::pair{"--socket", o.socket}})
    if (path.empty() || path.front() != '/')
      return std::string{name} + " \"" + path + "\" must be an absolute path";
  if (o.socket.size() > 107) // sun_path, unix(7)
    return "--socket \"" + o.socket + "\" is longer than 107 bytes, the limit of a unix socket";
  if (!o.metrics.listen.empty() && !io::is_loopback(o.metrics.listen))
    return "--metrics-listen \"" + o.metrics.listen
           + "\" must be 127.0.0.1:PORT or [::1]:PORT: the metrics tell names";
  if (o.fds_socket.size() > 107)
    return "\"" + o.fds_socket + "\", beside the socket, is longer than 107 bytes, the limit of a "
           "unix socket";
  if (o.supervisor.systemd_cgroups)
    return wrong_slice(o);
  if (o.supervisor.cgroup_parent.empty()
      || o.supervisor.cgroup_parent.find("..") != std::string::npos
      || o.supervisor.cgroup_parent.front() == '/')
    return "--cgroup-parent \"" + o.supervisor.cgroup_parent + "\" must be a relative path";
  return {};
}

/// What the command line says in words of its own.
struct raw_words {
  std::string on_stop = "leave";
  bool no_keeper = false;
  std::vector<std::string> readers;
  std::vector<std::string> operators;
};

void declare_metrics(CLI::App& app, daemon_options& o) {
  app.add_option("--metrics-listen", o.metrics.listen,
                 "Serve the metrics on this loopback address, too, for Prometheus:\n"
                 "127.0.0.1:PORT [STATE/metrics.sock alone]");
  app.add_option("--metrics-containers", o.metrics.most_containers,
                 "So many containers have metrics of their own; the rest is counted [100]")
    ->check(CLI::Range(0, 100'000));
}

void declare_limits(CLI::App& app, daemon_options& o) {
  app.add_option("--max-runtime-commands", o.engine.max_in_flight,
                 "Runtime commands at a time; more wait in order [8]")
    ->check(CLI::Range(1, 1024));
  app.add_option("--runtime-deadline", o.runtime_deadline,
                 "Seconds until a runtime command is killed [60 for create and exec, else 30]")
    ->check(CLI::Range(least_seconds, most_seconds));
  app.add_option("--runtime-copy", o.runtime_copy,
                 "Start a runtime that is called often from a sealed copy in memory, which saves\n"
                 "it one of its own at each call: auto or never [auto]")
    ->check(CLI::IsMember({"auto", "never"}));
  app.add_option("--max-exec-probes", o.supervisor.exec_probes,
                 "Health checks by a command that run at a time, in all containers; more wait in\n"
                 "order [0: no limit]")
    ->check(CLI::Range(0, 10'000));
  app.add_option("--probe-jitter", o.supervisor.probe_jitter,
                 "The first run of a health check is put off by up to this share of its interval,\n"
                 "so that containers which start together are not all asked together [0]")
    ->check(CLI::Range(0.0, 1.0));
  app.add_option_function<double>("--hook-timeout", [&o](double span) { take_hook_time(o, span); },
                 "Seconds until a hook (--health-on-failure hook=/PROGRAM) is killed with all\n"
                 "that it started [30]")
    ->check(CLI::Range(least_seconds, most_seconds));
  app.add_option("--cgroup-linger", o.cgroup_linger,
                 "Seconds that the cgroup of a namespace stays after its last container [5]")
    ->check(CLI::Range(least_seconds, most_seconds));
}

void declare(CLI::App& app, daemon_options& o, raw_words& raw) {
  app.footer(footer);
  app.set_version_flag("--version", "gantryd " GANTRY_VERSION);
  app.add_option("--state", o.supervisor.state_dir,
                 "Directory for sockets and bundles; may vanish at boot [/run/gantry]");
  app.add_option("--root", o.supervisor.root_dir,
                 "Directory for the journal and the logs [/var/lib/gantry]");
  app.add_option("--socket", o.socket, "The bus's unix socket [STATE/gantry.sock]");
  app.add_option("--runtime", o.supervisor.runtime,
                 "OCI runtime: a path, or runc or crun [crun on pure cgroup v2, else runc]");
  app.add_option("--cgroup-parent", o.supervisor.cgroup_parent,
                 "Containers live in the cgroup /PARENT/NAMESPACE/ID; with the systemd driver in\n"
                 "scopes below this slice [gantry, or gantry.slice]");
  app.add_option("--cgroup-driver", o.cgroup_driver,
                 "Who makes the cgroups of containers: the runtime, or systemd [cgroupfs]")
    ->check(CLI::IsMember({"cgroupfs", "systemd"}));
  declare_limits(app, o);
  declare_metrics(app, o);
  app.add_option("--on-stop", raw.on_stop, "SIGTERM: leave the containers running, or stop them")
    ->check(CLI::IsMember({"leave", "stop"}));
  app.add_option("--operate-gid", raw.operators,
                 "Groups whose members may do everything with containers: equals root")
    ->delimiter(',');
  app.add_option("--read-gid", raw.readers, "Groups whose members may look and follow")
    ->delimiter(',');
  app.add_option("--log-level", o.log_level, "debug, info, warn or error [info]")
    ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_option("--config", o.config, "A TOML file with the same names as these options");
  auto* alone
    = app.add_flag("--no-keeper", raw.no_keeper,
                   "Run without a keeper: containers then do not survive a crash of gantryd");
  app.add_flag("--keeper-apart", o.keeper_apart,
               "The keeper is a process apart and this one stands for gantryd: it passes signals\n"
               "on and ends as gantryd ends. For service managers, which stop what they started")
    ->excludes(alone);
}

std::set<std::string> given_in(const CLI::App& app) {
  std::set<std::string> out;
  for (const auto* option : app.get_options())
    if (option->count() > 0 && !option->get_lnames().empty())
      out.insert(option->get_lnames().front());
  return out;
}

/// What follows from the options together.
void complete(daemon_options& o) {
  if (o.socket.empty())
    o.socket = o.supervisor.state_dir + "/gantry.sock";
  o.supervisor.systemd_cgroups = o.cgroup_driver == "systemd";
  if (o.supervisor.systemd_cgroups && o.supervisor.cgroup_parent == "gantry") // The default.
    o.supervisor.cgroup_parent = "gantry.slice";
  o.metrics.socket = o.supervisor.state_dir + "/metrics.sock";
  o.fds_socket = bus::fds_socket_beside(o.socket);
  o.supervisor.version = GANTRY_VERSION;
  using seconds = std::chrono::duration<double>;
  if (o.runtime_deadline > 0) {
    const auto deadline = std::chrono::duration_cast<io::nanoseconds>(seconds(o.runtime_deadline));
    o.engine.set_deadlines(deadline);
    o.supervisor.orphan_patience = deadline;
  }
  o.engine.copy.wanted = o.runtime_copy != "never";
  if (o.cgroup_linger > 0)
    o.engine.parent_linger = std::chrono::duration_cast<io::nanoseconds>(seconds(o.cgroup_linger));
}

} // namespace

parsed_options parse(int argc, char** argv) {
  parsed_options out;
  auto& o = out.options;
  raw_words raw;
  CLI::App app{about, "gantryd"};
  declare(app, o, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    out.done = true;
    if (e.get_exit_code() == 0) {
      out.exit_code = app.exit(e);
      return out;
    }
    std::fprintf(stderr, "gantryd: %s (see gantryd --help)\n", e.what());
    out.exit_code = exit_usage;
    return out;
  }
  o.keeper = !raw.no_keeper;
  o.stop_containers = raw.on_stop == "stop";
  const auto given = given_in(app);
  auto wrong = take_groups(raw.readers, o.roles.read_groups);
  if (wrong.empty())
    wrong = take_groups(raw.operators, o.roles.operate_groups);
  if (wrong.empty() && !o.config.empty())
    wrong = read_config(o, given);
  if (wrong.empty() && o.cgroup_driver != "cgroupfs" && o.cgroup_driver != "systemd")
    wrong = o.config + ": cgroup-driver is \"" + o.cgroup_driver + "\": use cgroupfs or systemd";
  if (given.contains("on-stop"))
    o.stop_containers = raw.on_stop == "stop";
  complete(o);
  if (wrong.empty())
    wrong = wrong_paths(o);
  if (!wrong.empty()) {
    std::fprintf(stderr, "gantryd: %s\n", wrong.c_str());
    out.done = true;
    out.exit_code = exit_config;
  }
  return out;
}

} // namespace gantry::daemon
