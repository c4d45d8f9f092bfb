#include "apps/gantry/grammar.hpp"

#include <cstdlib>
#include <filesystem>

#include "apps/gantry/detach_keys.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

/// Understands values one after the other and keeps the first fault, with its option's name.
class reader {
public:
  explicit reader(const raw_line& line) : line(line) {}

  const raw_line& line;

  /// Calls `set` with what `parse` makes of the option's value, unless it was not given.
  template <class Parse, class Set>
  void take(const char* option, Parse parse, Set set) {
    if (line.given(option))
      take(option, line.text(option), parse, set);
  }

  /// Calls `set` with what `parse` makes of `text`.
  template <class Parse, class Set>
  void take(const char* option, const std::string& text, Parse parse, Set set) {
    if (fault_)
      return;
    auto value = parse(text);
    if (value)
      set(std::move(value).value());
    else
      fail(option, value.why());
  }

  void fail(const char* option, error why) {
    if (!fault_)
      fault_ = error{why.code, std::string(option) + ": " + why.message, why.cure};
  }

  void pairs(const char* option, const std::vector<std::string>& texts,
             google::protobuf::Map<std::string, std::string>& to) {
    for (const auto& text : texts) {
      auto pair = parse_pair(text);
      if (pair)
        to[pair->first] = pair->second;
      else
        fail(option, pair.why());
    }
  }

  [[nodiscard]] const std::optional<error>& fault() const { return fault_; }

private:
  std::optional<error> fault_;
};

std::string absolute(const std::string& path) {
  std::error_code ignored; // Without a working directory the path stays as it is.
  const auto whole = std::filesystem::absolute(path, ignored).lexically_normal().string();
  return ignored ? path : whole;
}

void take_limits(reader& in, v1::Resources& to) {
  in.take("--memory", parse_limit, [&to](int64_t n) { to.set_memory_bytes(n); });
  in.take("--memory-swap", parse_limit, [&to](int64_t n) { to.set_memory_swap_bytes(n); });
  in.take("--memory-reservation", parse_limit,
          [&to](int64_t n) { to.set_memory_reservation_bytes(n); });
  in.take("--cpus", parse_cpus, [&to](int64_t n) { to.set_nano_cpus(n); });
  const auto shares = [](std::string_view t) { return parse_number(t, 2, 262144); };
  in.take("--cpu-shares", shares,
          [&to](int64_t n) { to.set_cpu_shares(static_cast<uint64_t>(n)); });
  const auto pids = [](std::string_view t) {
    return t == "-1" ? result<int64_t>(-1) : parse_number(t, 1, INT32_MAX);
  };
  in.take("--pids-limit", pids, [&to](int64_t n) { to.set_pids_limit(n); });
  to.set_cpuset_cpus(in.line.text("--cpuset-cpus"));
  to.set_cpuset_mems(in.line.text("--cpuset-mems"));
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
  else if (key == "when-full" && (value == "drop" || value == "block"))
    to.set_drop_when_full(value == "drop");
  else
    in.fail("--log-opt",
            {ec::invalid_argument, "\"" + printable(key + "=" + value) + "\" is unknown",
             "max-size=64m, max-file=10, max-line=1m, when-full=block|drop"});
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

/// `-e NAME` passes our own variable on, if there is one.
void take_env(const std::vector<std::string>& texts,
              google::protobuf::RepeatedPtrField<std::string>& to) {
  for (const auto& text : texts) {
    if (text.find('=') != std::string::npos)
      *to.Add() = text;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    else if (const char* value = std::getenv(text.c_str()))
      *to.Add() = text + "=" + value;
  }
}

/// A root filesystem and a command, or a bundle that has both.
void take_source(reader& in, const options& to, v1::ContainerSpec& spec) {
  const std::string bundle = in.line.text("--bundle");
  const std::string rootfs = in.line.text("--rootfs");
  if (bundle.empty() == rootfs.empty())
    in.fail("--rootfs or --bundle", {ec::invalid_argument, "exactly one of them is needed",
                                     "a root filesystem and a command, or an OCI bundle"});
  if (!rootfs.empty() && in.line.command.empty())
    in.fail("CMD", {ec::invalid_argument, "a command is needed with --rootfs",
                    "gantry " + to.verb + " --rootfs DIR CMD"});
  if (!bundle.empty())
    spec.set_bundle(absolute(bundle));
  if (!rootfs.empty())
    spec.set_rootfs(absolute(rootfs));
}

void take_spec(reader& in, options& to) {
  const auto& line = in.line;
  auto& spec = to.spec;
  take_source(in, to, spec);
  for (const auto& word : line.command)
    spec.add_args(word);
  take_env(line.list("--env"), *spec.mutable_env());
  spec.set_workdir(line.text("--workdir"));
  spec.set_user(line.text("--user"));
  spec.set_hostname(line.text("--hostname"));
  spec.set_read_only(line.flag("--read-only"));
  spec.set_runtime(line.text("--runtime"));
  spec.set_with_stdin(line.flag("--interactive"));
  spec.set_terminal(line.flag("--tty"));
  spec.set_remove_on_exit(line.flag("--rm"));
  spec.set_stop_signal(line.text("--stop-signal"));
  spec.set_network(line.text("--network"));
  in.pairs("--label", line.list("--label"), *spec.mutable_labels());
  in.pairs("--annotation", line.list("--annotation"), *spec.mutable_annotations());
  in.take("--stop-timeout", parse_duration, [&spec](int64_t ns) { spec.set_stop_timeout_ns(ns); });
  take_limits(in, *spec.mutable_resources());
  take_log_options(in, line.list("--log-opt"), *spec.mutable_log());
}

void take_process(reader& in, options& to) {
  const auto& line = in.line;
  auto& spec = to.process_spec;
  if (line.command.empty())
    in.fail("CMD", {ec::invalid_argument, "a command is needed", "gantry exec ID CMD"});
  for (const auto& word : line.command)
    spec.add_args(word);
  take_env(line.list("--env"), *spec.mutable_env());
  spec.set_workdir(line.text("--workdir"));
  spec.set_user(line.text("--user"));
  spec.set_with_stdin(line.flag("--interactive"));
  spec.set_terminal(line.flag("--tty"));
  take_log_options(in, line.list("--log-opt"), *spec.mutable_log());
}

void take_filters(reader& in, v1::EventFilter& to) {
  for (const auto& text : in.line.list("--filter")) {
    const auto pair = parse_pair(text);
    if (!pair)
      in.fail("--filter", pair.why());
    else if (pair->first == "type" || pair->first == "event")
      to.add_types(pair->second);
    else if (pair->first == "container")
      to.add_containers(pair->second);
    else if (pair->first == "label")
      in.pairs("--filter label", {pair->second}, *to.mutable_labels());
    else
      in.fail("--filter", {ec::invalid_argument, "\"" + printable(pair->first) + "\" is unknown",
                           "type=exit, container=web or label=KEY=VALUE"});
  }
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

void take_looks(reader& in, options& out) {
  const auto& line = in.line;
  out.no_stdin = line.flag("--no-stdin");
  out.replay = line.flag("--replay");
  const std::string keys = line.text("--detach-keys");
  in.take("--detach-keys", keys.empty() ? std::string(usual_detach_keys) : keys,
          parse_detach_keys, [&out](std::string bytes) { out.detach_keys = std::move(bytes); });
  in.take("--time", parse_duration, [&out](int64_t ns) { out.timeout_ns = ns; });
  const auto lines = [](std::string_view t) {
    return t == "all" ? result<int64_t>(int64_t{0}) : parse_number(t, 1, INT64_MAX);
  };
  in.take("--tail", lines, [&out](int64_t n) { out.tail = static_cast<uint64_t>(n); });
  const auto seq = [](std::string_view t) { return parse_number(t, 0, INT64_MAX); };
  in.take("--after", seq, [&out](int64_t n) { out.after = static_cast<uint64_t>(n); });
  in.take("--since", parse_cursor, [](const cursor_text&) {});
  out.since = line.text("--since");
  take_filters(in, out.filter);
  const std::string format = line.text("--format");
  if (format == "json")
    out.json = true;
  else if (!format.empty() && format != "table")
    in.fail("--format",
            {ec::invalid_argument, "\"" + printable(format) + "\" is unknown", "table or json"});
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
  out.name = line.text(out.verb == "exec" ? "--id" : "--name");
  out.detach = line.flag("--detach");
  out.signal = line.text("--signal");
  out.all = line.flag("--all");
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
    take_limits(in, out.resources);
  if (out.verb == "update" && !in.fault() && out.resources.ByteSizeLong() == 0)
    in.fail("LIMITS", {ec::invalid_argument, "no limit is given", "such as --memory 64m"});
  take_looks(in, out);
  if (in.fault())
    return *in.fault();
  return out;
}

} // namespace gantry::cli
