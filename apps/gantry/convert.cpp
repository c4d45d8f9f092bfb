#include "apps/gantry/grammar.hpp"

#include <cstdlib>
#include <filesystem>

#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

/// Understands values one after the other and keeps the first fault, with its option's name.
class reader {
public:
  /// Calls `set` with what `parse` makes of `text`, unless the option was not given.
  template <class Parse, class Set>
  void take(const char* option, const std::string& text, Parse parse, Set set) {
    if (text.empty() || fault_)
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
      // The empty text is a value that was given here.
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

void take_limits(reader& in, const raw_line& raw, v1::Resources& to) {
  in.take("--memory", raw.memory, parse_limit, [&to](int64_t n) { to.set_memory_bytes(n); });
  in.take("--memory-swap", raw.memory_swap, parse_limit,
          [&to](int64_t n) { to.set_memory_swap_bytes(n); });
  in.take("--memory-reservation", raw.memory_reservation, parse_limit,
          [&to](int64_t n) { to.set_memory_reservation_bytes(n); });
  in.take("--cpus", raw.cpus, parse_cpus, [&to](int64_t n) { to.set_nano_cpus(n); });
  const auto shares = [](std::string_view t) { return parse_number(t, 2, 262144); };
  in.take("--cpu-shares", raw.cpu_shares, shares,
          [&to](int64_t n) { to.set_cpu_shares(static_cast<uint64_t>(n)); });
  const auto pids = [](std::string_view t) {
    return t == "-1" ? result<int64_t>(-1) : parse_number(t, 1, INT32_MAX);
  };
  in.take("--pids-limit", raw.pids_limit, pids, [&to](int64_t n) { to.set_pids_limit(n); });
  to.set_cpuset_cpus(raw.cpuset_cpus);
  to.set_cpuset_mems(raw.cpuset_mems);
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

void take_spec(reader& in, const raw_line& raw, options& to) {
  auto& spec = to.spec;
  if (raw.bundle.empty() == raw.rootfs.empty())
    in.fail("--rootfs or --bundle", {ec::invalid_argument, "exactly one of them is needed",
                                     "a root filesystem and a command, or an OCI bundle"});
  if (!raw.rootfs.empty() && raw.command.empty())
    in.fail("CMD", {ec::invalid_argument, "a command is needed with --rootfs",
                    "gantry " + to.verb + " --rootfs DIR CMD"});
  if (!raw.bundle.empty())
    spec.set_bundle(absolute(raw.bundle));
  if (!raw.rootfs.empty())
    spec.set_rootfs(absolute(raw.rootfs));
  for (const auto& word : raw.command)
    spec.add_args(word);
  take_env(raw.env, *spec.mutable_env());
  spec.set_workdir(raw.workdir);
  spec.set_user(raw.user);
  spec.set_hostname(raw.hostname);
  spec.set_read_only(raw.read_only);
  spec.set_runtime(raw.runtime);
  spec.set_with_stdin(raw.interactive);
  spec.set_remove_on_exit(raw.remove);
  spec.set_stop_signal(raw.stop_signal);
  spec.set_network(raw.network);
  in.pairs("--label", raw.labels, *spec.mutable_labels());
  in.pairs("--annotation", raw.annotations, *spec.mutable_annotations());
  in.take("--stop-timeout", raw.stop_timeout, parse_duration,
          [&spec](int64_t ns) { spec.set_stop_timeout_ns(ns); });
  take_limits(in, raw, *spec.mutable_resources());
  take_log_options(in, raw.log_opts, *spec.mutable_log());
}

void take_process(reader& in, const raw_line& raw, options& to) {
  auto& spec = to.process_spec;
  if (raw.command.empty())
    in.fail("CMD", {ec::invalid_argument, "a command is needed", "gantry exec ID CMD"});
  for (const auto& word : raw.command)
    spec.add_args(word);
  take_env(raw.env, *spec.mutable_env());
  spec.set_workdir(raw.workdir);
  spec.set_user(raw.user);
  spec.set_with_stdin(raw.interactive);
  take_log_options(in, raw.log_opts, *spec.mutable_log());
}

void take_filters(reader& in, const std::vector<std::string>& texts, v1::EventFilter& to) {
  for (const auto& text : texts) {
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

} // namespace

result<options> convert(raw_line raw) {
  reader in;
  auto& out = raw.out;
  if (!raw.one.empty())
    out.ids = {raw.one};
  if (out.verb == "run" || out.verb == "create")
    take_spec(in, raw, out);
  else if (out.verb == "exec")
    take_process(in, raw, out);
  else if (out.verb == "update")
    take_limits(in, raw, out.resources);
  if (out.verb == "update" && !in.fault() && out.resources.ByteSizeLong() == 0)
    in.fail("LIMITS", {ec::invalid_argument, "no limit is given", "such as --memory 64m"});
  take_filters(in, raw.filters, out.filter);
  in.take("--time", raw.timeout, parse_duration, [&out](int64_t ns) { out.timeout_ns = ns; });
  const auto lines = [](std::string_view t) {
    return t == "all" ? result<int64_t>(int64_t{0}) : parse_number(t, 1, INT64_MAX);
  };
  in.take("--tail", raw.tail, lines, [&out](int64_t n) { out.tail = static_cast<uint64_t>(n); });
  const auto seq = [](std::string_view t) { return parse_number(t, 0, INT64_MAX); };
  in.take("--after", raw.after, seq, [&out](int64_t n) { out.after = static_cast<uint64_t>(n); });
  in.take("--since", out.since, parse_cursor, [](const cursor_text&) {});
  if (raw.format == "json")
    out.json = true;
  else if (!raw.format.empty() && raw.format != "table")
    in.fail("--format", {ec::invalid_argument, "\"" + printable(raw.format) + "\" is unknown",
                         "table or json"});
  if (in.fault())
    return *in.fault();
  return std::move(out);
}

} // namespace gantry::cli
