#include <algorithm>
#include <initializer_list>

#include "apps/gantry/reader.hpp"

namespace gantry::cli {

namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

void take_log_option(reader& in, const std::string& key, const std::string& value,
                     v1::LogOptions& to) {
  const auto files = [](std::string_view t) { return parse_number(t, 1, 100'000); };
  if (key == "max-size")
    in.take("--log-opt max-size", value, parse_size,
            [&to](int64_t n) { to.set_max_file_bytes(static_cast<uint64_t>(n)); });
  else if (key == "max-file")
    in.take("--log-opt max-file", value, files,
            [&to](int64_t n) { to.set_max_files(static_cast<uint32_t>(n)); });
  else if (key == "max-line")
    in.take("--log-opt max-line", value, parse_size, [&to](int64_t n) {
      to.set_max_line_bytes(static_cast<uint32_t>(std::min<int64_t>(n, UINT32_MAX)));
    });
  else if (key == "max-age")
    in.take("--log-opt max-age", value, parse_duration,
            [&to](int64_t n) { to.set_max_age_ns(n); });
  else if (key == "rate")
    in.take("--log-opt rate", value, parse_size,
            [&to](int64_t n) { to.set_rate_bytes(static_cast<uint64_t>(n)); });
  else if (key == "burst")
    in.take("--log-opt burst", value, parse_size,
            [&to](int64_t n) { to.set_burst_bytes(static_cast<uint64_t>(n)); });
  else if (key == "when-full" && one_of(value, {"block", "drop-oldest", "drop-newest"}))
    to.set_when_full(value);
  else if (key == "mode" && one_of(value, {"blocking", "non-blocking"})) // Docker's word for it.
    to.set_when_full(value == "blocking" ? "block" : "drop-newest");
  else if (key == "forward")
    to.set_forward(value);
  else if (key == "compress" && one_of(value, {"true", "false"}))
    to.set_compress(value == "true");
  else
    in.fail("--log-opt",
            {ec::invalid_argument, "\"" + printable(key + "=" + value) + "\" is unknown",
             "max-size=64m, max-file=10, max-line=1m, max-age=24h, compress=true, rate=1m, "
             "burst=4m, when-full=block|drop-oldest|drop-newest, forward=journald|syslog[:/PATH]"});
}

void take_log_driver(reader& in, const std::string& name, v1::LogOptions& to) {
  if (name.empty() || one_of(name, {"json-file", "cri", "raw"}))
    to.set_format(name);
  else
    in.fail("--log-driver", {ec::invalid_argument, "\"" + printable(name) + "\" is unknown",
                             "use json-file, cri or raw"});
}

void take_log_options(reader& in, const std::vector<std::string>& texts, v1::LogOptions& to) {
  for (const auto& text : texts)
    for (size_t from = 0; from <= text.size();) {
      const size_t comma = std::min(text.find(',', from), text.size());
      const auto pair = parse_pair(std::string_view(text).substr(from, comma - from));
      from = comma + 1;
      if (pair)
        take_log_option(in, pair->first, pair->second, to);
      else
        in.fail("--log-opt", pair.why());
    }
}

/// Input and output streams: ours, a terminal, named FIFOs. One for stdin asks for a stdin.
template <class Spec>
void take_streams(reader& in, options& to, Spec& spec) {
  const auto path = [](std::string_view text) {
    return text.empty()
             ? result<std::string>(error{ec::invalid_argument, "the path is empty", "name a FIFO"})
             : result<std::string>(absolute(std::string(text)));
  };
  to.interactive = in.line.flag("--interactive");
  spec.set_terminal(in.line.flag("--tty"));
  spec.set_with_stdin(to.interactive || in.line.given("--stdin-fifo"));
  v1::Fifos fifos;
  in.take("--stdin-fifo", path, [&](std::string p) { fifos.set_stdin_path(std::move(p)); });
  in.take("--stdout-fifo", path, [&](std::string p) { fifos.set_stdout_path(std::move(p)); });
  in.take("--stderr-fifo", path, [&](std::string p) { fifos.set_stderr_path(std::move(p)); });
  if (fifos.ByteSizeLong() > 0)
    *spec.mutable_fifos() = std::move(fifos);
  if (spec.terminal() && in.line.given("--stderr-fifo"))
    in.fail("--stderr-fifo", {ec::invalid_argument, "with -t all output is stdout",
                              "leave one of them out"});
}

/// A root filesystem and a command, or a bundle that has both.
void take_source(reader& in, const options& to, v1::ContainerSpec& spec) {
  const std::string bundle = in.line.text("--bundle");
  const std::string rootfs = in.line.text("--rootfs");
  if (bundle.empty() == rootfs.empty())
    in.fail("--rootfs or --bundle",
            {ec::invalid_argument,
             bundle.empty() ? "one of them is needed, gantry has no images" : "give only one",
             "a root filesystem and a command, or an OCI bundle"});
  if (!rootfs.empty() && in.line.command.empty() && in.line.text("--entrypoint").empty())
    in.fail("CMD", {ec::invalid_argument, "a command is needed with --rootfs",
                    "gantry " + to.verb + " --rootfs DIR CMD"});
  if (!bundle.empty())
    spec.set_bundle(absolute(bundle));
  if (!rootfs.empty())
    spec.set_rootfs(absolute(rootfs));
}

/// Further groups: what is a number is not looked up.
template <class Spec>
void take_groups(reader& in, Spec& to) {
  const auto gid = [&to](std::string_view text) -> result<int64_t> {
    if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos)
      return parse_number(text, 0, UINT32_MAX - 1);
    to.add_group_names(std::string(text));
    return int64_t{-1};
  };
  in.take_each("--group-add", gid, [&to](int64_t n) {
    if (n >= 0)
      to.add_groups(static_cast<uint32_t>(n));
  });
}

void take_spec(reader& in, options& to) {
  const auto& line = in.line;
  auto& spec = to.spec;
  take_source(in, to, spec);
  if (!line.text("--entrypoint").empty())
    spec.add_args(line.text("--entrypoint"));
  for (const auto& word : line.command)
    spec.add_args(word);
  take_env(in, *spec.mutable_env());
  spec.set_workdir(line.text("--workdir"));
  spec.set_user(line.text("--user"));
  take_groups(in, spec);
  spec.set_hostname(line.text("--hostname"));
  spec.set_read_only(line.flag("--read-only"));
  spec.set_runtime(line.text("--runtime"));
  take_streams(in, to, spec);
  spec.set_remove_on_exit(line.flag("--rm"));
  spec.set_stop_signal(line.text("--stop-signal"));
  spec.set_network(line.text("--network"));
  in.pairs("--label", line.list("--label"), *spec.mutable_labels());
  in.pairs("--annotation", line.list("--annotation"), *spec.mutable_annotations());
  in.take("--stop-timeout", parse_duration, [&spec](int64_t ns) { spec.set_stop_timeout_ns(ns); });
  take_limits(in, *spec.mutable_resources());
  take_isolation(in, spec);
  take_health(in, spec);
  take_notify(in, spec);
  take_restart(in, spec);
  take_after(in, spec);
  in.take("--max-run-time", parse_duration, [&spec](int64_t ns) { spec.set_max_run_ns(ns); });
  spec.set_oom_policy(line.text("--oom-policy"));
  for (const auto& threshold : line.list("--pressure"))
    spec.add_pressure(threshold);
  spec.set_pressure_policy(line.text("--pressure-policy"));
  take_log_driver(in, line.text("--log-driver"), *spec.mutable_log());
  take_log_options(in, line.list("--log-opt"), *spec.mutable_log());
}

/// Of `update`.
void take_changes(reader& in, options& to) {
  take_limits(in, to.resources);
  take_health(in, to.spec, true);
  take_restart(in, to.spec);
  if (!in.fault() && to.resources.ByteSizeLong() == 0 && !to.spec.has_health()
      && !to.spec.has_restart())
    in.fail("CHANGES", {ec::invalid_argument, "nothing is given that is to change",
                        "such as --memory 64m, --restart always or --health-interval 5s"});
}

/// What ends an exec, and who collects its output.
void take_exec_end(reader& in, options& to) {
  const auto& line = in.line;
  auto& spec = to.process_spec;
  spec.set_privileged(line.flag("--privileged"));
  for (const auto& name : line.list("--cap"))
    spec.add_capabilities(name);
  in.take("--timeout", parse_duration, [&spec](int64_t ns) { spec.set_timeout_ns(ns); });
  in.take("--ttl", parse_duration, [&spec](int64_t ns) { spec.set_ttl_ns(ns); });
  const std::string leave = line.text("--on-disconnect");
  if (leave == "term")
    spec.set_on_disconnect(v1::TERM);
  else if (leave == "kill")
    spec.set_on_disconnect(v1::KILL);
  else if (!leave.empty() && leave != "keep")
    in.fail("--on-disconnect", {ec::invalid_argument, "\"" + printable(leave) + "\" is unknown",
                                "keep, term or kill"});
  to.sync = line.flag("--sync");
  const auto bytes = [](std::optional<uint64_t>& field) {
    return [&field](int64_t n) { field = static_cast<uint64_t>(n); };
  };
  in.take("--head", parse_size, bytes(to.head_bytes));
  in.take("--tail", parse_size, bytes(to.tail_bytes));
  const auto apart = [&in](bool both, const char* option, const char* why, const char* cure) {
    if (both)
      in.fail(option, {ec::invalid_argument, why, cure});
  };
  apart(!to.sync && (to.head_bytes || to.tail_bytes), "--head, --tail", "they belong to --sync",
        "add --sync, or read the log: gantry logs ID PROCESS");
  apart(to.sync && to.detach, "--sync", "it waits, and -d does not", "leave one of them out");
  apart(to.sync && spec.with_stdin(), "--sync", "it has no stdin to pass on", "leave -i out");
  apart(to.detach && spec.on_disconnect() != v1::KEEP, "--on-disconnect",
        "with -d there is no connection that could break", "leave -d out");
}

void take_process(reader& in, options& to) {
  const auto& line = in.line;
  auto& spec = to.process_spec;
  if (line.command.empty())
    in.fail("CMD", {ec::invalid_argument, "a command is needed", "gantry exec ID CMD"});
  for (const auto& word : line.command)
    spec.add_args(word);
  take_env(in, *spec.mutable_env());
  spec.set_workdir(line.text("--workdir"));
  spec.set_user(line.text("--user"));
  take_groups(in, spec);
  take_streams(in, to, spec);
  take_log_driver(in, line.text("--log-driver"), *spec.mutable_log());
  take_log_options(in, line.list("--log-opt"), *spec.mutable_log());
  take_exec_end(in, to);
}

/// The words that are no options: containers, a process, or a directory.
void take_words(reader& in, options& to) {
  auto given = in.line.ids;
  const auto lacks = [&in](const char* what) {
    in.fail(what, {ec::invalid_argument, "is missing", ""});
  };
  const auto most = [&in, &given](size_t n) {
    if (given.size() > n)
      in.fail("usage", {ec::invalid_argument, "\"" + printable(given[n]) + "\" is too much", ""});
  };
  switch (in.line.verb->takes) {
  case words::none:
  case words::command:
    return most(0);
  case words::some_word:
  case words::word:
    if (!given.empty())
      to.argument = given.front();
    else if (in.line.verb->takes == words::word)
      lacks("the argument");
    return most(1);
  case words::one_process:
    if (given.size() > 1) {
      to.process = given[1];
      most(2);
      given.resize(1);
    }
    [[fallthrough]];
  case words::one_id:
  case words::id_command:
    most(1);
    [[fallthrough]];
  case words::ids:
    if (given.empty())
      lacks("ID");
    [[fallthrough]];
  case words::some_ids:
    to.ids = std::move(given);
  }
}

void take_checkpoint(reader& in, options& out) {
  const auto& line = in.line;
  out.from_checkpoint = line.text("--checkpoint");
  out.from_images = line.text("--checkpoint-dir");
  auto& c = out.checkpoint;
  c.set_leave_running(line.flag("--leave-running"));
  c.set_tcp_established(line.flag("--tcp-established"));
  c.set_file_locks(line.flag("--file-locks"));
  c.set_external_unix(line.flag("--external-unix"));
  c.set_dir(line.text("--dir"));
  if (out.timeout_ns)
    c.set_timeout_ns(*out.timeout_ns);
}

} // namespace

result<options> convert(const raw_line& line) {
  reader in(line);
  options out;
  out.verb = line.verb->verb;
  out.socket = line.text("--socket");
  out.ns = line.text("--namespace");
  out.json = line.flag("--json");
  out.no_color = line.flag("--no-color");
  const auto* const name = out.verb == "exec" ? "--id" : "--name";
  out.name = line.text(name);
  if (line.given(name) && out.name.empty())
    in.fail(name, {ec::invalid_argument, "is empty", "leave it out for a random one"});
  out.detach = line.flag("--detach");
  out.signal = line.text("--signal");
  out.all = line.flag("--all");
  out.tree = line.flag("--tree");
  out.all_namespaces = line.flag("--all-namespaces");
  out.quiet = line.flag("--quiet");
  out.force = line.flag("--force");
  out.full = line.flag("--no-trunc");
  out.follow = line.flag("--follow");
  out.list = line.flag("--list");
  out.timestamps = line.flag("--timestamps");
  out.raw = line.flag("--raw");
  out.repair = line.flag("--repair");
  take_words(in, out);
  if (line.given("--process"))
    out.process = line.text("--process");
  if (out.verb == "run" || out.verb == "create")
    take_spec(in, out);
  else if (out.verb == "exec")
    take_process(in, out);
  else if (out.verb == "update")
    take_changes(in, out);
  take_looks(in, out);
  take_checkpoint(in, out);
  if (in.fault())
    return *in.fault();
  return out;
}

} // namespace gantry::cli
