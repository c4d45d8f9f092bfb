#include "apps/gantry/grammar.hpp"

#include <cstdlib>
#include <utility>

#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

std::string environment(const char* name, std::string otherwise) {
  const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): one thread
  return value && *value ? value : std::move(otherwise);
}

usage_error wrong(std::string_view verb, const error& why) {
  const std::string name(verb);
  const bool makes = verb == "run" || verb == "create" || verb == "exec";
  std::string cure = why.cure;
  if (cure.empty())
    cure = "see: gantry " + name + (verb.empty() ? "" : " ") + "--help";
  return {{why.code, (verb.empty() ? "" : name + ": ") + why.message, std::move(cure)},
          makes ? 125 : 1};
}

/// The verb that was meant, for an error about what stands behind it.
std::string_view verb_among(const std::vector<std::string>& args) {
  for (size_t i = 0; i < args.size(); ++i) {
    if (const auto* row = verb_row_of(args[i]))
      return row->verb;
    for (const auto* o = option_rows(); o->names; ++o) // The value of one is no verb.
      if (*o->verbs == '\0' && o->takes_value()
          && (args[i] == o->long_name() || args[i] == std::string("-") + o->short_name()))
        ++i;
  }
  return {};
}

} // namespace

std::variant<options, answer, usage_error> parse_command_line(int argc, const char* const* argv) {
  const std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  auto line = take_apart(args);
  if (!line)
    return wrong(verb_among(args), line.why());
  const std::string_view verb = line->verb ? line->verb->verb : "";
  if (line->flag("--version"))
    return answer{"gantry " + std::string(version_text) + "\n"};
  if (line->flag("--help") || args.empty())
    return answer{help_text(line->verb)};
  if (!line->verb)
    return wrong("", {ec::invalid_argument, "no command is given", ""});
  if (verb == "help") { // `gantry help run` is what many type first.
    const auto* about = line->ids.empty() ? nullptr : verb_row_of(line->ids.front());
    if (!about && !line->ids.empty())
      return wrong("", {ec::invalid_argument,
                        "there is no command \"" + printable(line->ids.front()) + "\"", ""});
    return answer{help_text(about)};
  }
  auto done = convert(*line);
  if (!done)
    return wrong(verb, done.why());
  auto& out = done.value();
  if (out.socket.empty())
    out.socket = environment("GANTRY_SOCKET", "/run/gantry/gantry.sock");
  if (out.ns.empty())
    out.ns = environment("GANTRY_NAMESPACE", "");
  return std::move(out);
}

namespace {

/// What a shell offers for an option's value.
std::string values_of(const option_row& o) {
  const auto name = o.long_name();
  const std::string_view type = o.type;
  if (name == "--bundle" || name == "--rootfs" || name == "--volume" || name == "--cgroup-parent")
    return name == "--cgroup-parent" ? "" : "dirs";
  if (type == "FILE" || type == "PATH" || type.starts_with("DEV"))
    return "files";
  if (type == "SIG")
    return "signals";
  if (type == "CAP") {
    return "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN "
           "DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE "
           "LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE "
           "NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT "
           "SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME "
           "SYS_TTY_CONFIG WAKE_ALARM";
  }
  if (name == "--network")
    return "none host";
  if (name == "--format")
    return "table json";
  if (name == "--runtime")
    return "runc crun";
  if (name == "--stream")
    return "stdout stderr";
  if (name == "--security-opt")
    return "seccomp= seccomp=unconfined no-new-privileges no-new-privileges=false apparmor= "
           "label=disable writable-cgroups systempaths=unconfined";
  if (name == "--filter")
    return o.belongs_to("ps") ? "name= state=running state=created state=paused state=stopped "
                                "exited= runtime= label="
                              : "type=exit type=start type=oom container= process= label=";
  return "";
}

} // namespace

std::vector<verb_words> all_words() {
  std::vector<verb_words> out;
  const auto words_of = [&out](const char* verb, const char* summary) {
    verb_words w{verb, summary, {}};
    for (const auto* o = option_rows(); o->names; ++o) {
      if (!o->belongs_to(verb) || (*verb != '\0' && *o->verbs == '\0'))
        continue; // The options of all are completed everywhere.
      const auto values = values_of(*o);
      if (o->short_name())
        w.options.push_back(
          {std::string("-") + o->short_name(), o->takes_value(), o->summary, values});
      w.options.push_back({std::string(o->long_name()), o->takes_value(), o->summary, values});
    }
    out.push_back(std::move(w));
  };
  words_of("", "");
  for (const auto* row = verb_rows(); row->verb; ++row)
    words_of(row->verb, row->summary);
  return out;
}

} // namespace gantry::cli
