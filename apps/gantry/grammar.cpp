#include "apps/gantry/grammar.hpp"

#include <cstdlib>
#include <sstream>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "apps/gantry/split.hpp"
#include "apps/gantry/units.hpp"

namespace gantry::cli {

namespace {

constexpr const char* about =
  "gantry runs containers and keeps watch over them: nothing they say and no exit is lost,\n"
  "even when the supervisor, gantryd, dies and comes back.";

constexpr const char* root_footer =
  R"(Examples:
  gantry run --rm --rootfs /srv/busybox echo hello
  gantry ps -a
  gantry events -f --json

Exit codes: 0 done; 125 gantry or gantryd failed; 1 the command line is wrong. run, create and
exec: the container's own, 128+N when signal N ended it, 126 not executable, 127 not found, and
125 for a wrong command line.

gantry COMMAND --help says more about a command; options in front of the command work behind
it as well.)";

/// CLI11's layout with our own first line.
class formatter : public CLI::Formatter {
public:
  formatter() { column_width(34); }

  std::string make_usage(const CLI::App* app, std::string) const override {
    const auto* row = verb_row_of(app->get_name());
    if (!row)
      return "Usage: gantry [OPTIONS] COMMAND ...\n";
    const std::string rest = row->usage;
    return "Usage: gantry " + app->get_name() + (rest.empty() ? "" : " ") + rest + "\n";
  }

  std::string make_positionals(const CLI::App*) const override { return {}; }
};

std::string environment(const char* name, std::string otherwise) {
  const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): one thread
  return value && *value ? value : otherwise;
}

void add_global(CLI::App& app, raw_line& to) {
  app
    .add_option("--socket", to.out.socket,
                "gantryd's socket (or GANTRY_SOCKET; default /run/gantry/gantry.sock)")
    ->type_name("PATH");
  app.add_option("-n,--namespace", to.out.ns, "Namespace of the containers (or GANTRY_NAMESPACE)")
    ->type_name("NAME");
  app.add_flag("--json", to.out.json, "Print JSON, one object a line; errors too");
  app.add_flag("--no-color", to.out.no_color, "No colours (or NO_COLOR)");
}

void add_ids(CLI::App& sub, raw_line& to) {
  sub.add_option("ID", to.out.ids)->required();
}

void add_one_process(CLI::App& sub, raw_line& to) {
  sub.add_option("ID", to.one)->required();
  sub.add_option("PROCESS", to.out.process);
}

void add_steer_options(CLI::App& sub, const std::string& verb, raw_line& to) {
  if (verb == "kill") {
    sub.add_option("-s,--signal", to.out.signal, "TERM, SIGTERM or 15 (default KILL)")
      ->type_name("SIG");
    sub.add_flag("-a,--all", to.out.all, "Every process of the container");
    return add_one_process(sub, to);
  }
  if (verb == "stop") {
    sub.add_option("-t,--time", to.timeout, "How long to wait before SIGKILL: 10, 2.5s, 1m")
      ->type_name("TIME");
    sub.add_option("-s,--signal", to.out.signal, "The first signal (default: the container's)")
      ->type_name("SIG");
  }
  if (verb == "rm")
    sub.add_flag("-f,--force", to.out.force, "Kill a living container first");
  add_ids(sub, to);
}

void add_events_options(CLI::App& sub, raw_line& to) {
  sub
    .add_option("--since", to.out.since, "Begin behind this place: EPOCH:SEQ, SEQ, or 0: all kept")
    ->type_name("CURSOR");
  sub.add_flag("-f,--follow", to.out.follow, "Go on with what comes");
  sub.add_flag("--list", to.out.list, "Begin with the containers as they are");
  sub.add_option("--filter", to.filters, "Only these: type=, container=, label=K=V")
    ->type_name("K=V")
    ->allow_extra_args(false);
  sub.add_flag("-A,--all-namespaces", to.out.all_namespaces, "Of every namespace");
}

void add_look_options(CLI::App& sub, const std::string& verb, raw_line& to) {
  if (verb == "ps") {
    sub.add_flag("-a,--all", to.out.all, "The stopped ones too");
    sub.add_flag("-q,--quiet", to.out.quiet, "Only ids");
    sub.add_flag("-A,--all-namespaces", to.out.all_namespaces, "Of every namespace");
    sub.add_flag("--no-trunc", to.out.full, "Cut nothing short");
    sub.add_option("--format", to.format, "table (default) or json")->type_name("FORM");
  } else if (verb == "logs") {
    sub.add_flag("-f,--follow", to.out.follow, "Go on until the process has exited");
    sub.add_option("--tail", to.tail, "Only the last N lines; all")->type_name("N");
    sub.add_flag("-t,--timestamps", to.out.timestamps, "The time in front of each line");
    add_one_process(sub, to);
  } else if (verb == "wait") {
    sub.add_option("-p,--process", to.out.process, "Wait for this process, not init")
      ->type_name("PROCESS");
    add_ids(sub, to);
  } else if (verb == "stats") {
    sub.add_flag("--raw", to.out.raw, "The cgroup's files as they are, too");
    sub.add_option("ID", to.out.ids);
  } else if (verb == "events") {
    add_events_options(sub, to);
  } else if (verb == "inspect") {
    add_ids(sub, to);
  } else if (verb == "top") {
    sub.add_option("ID", to.one)->required();
    sub.add_flag("--no-trunc", to.out.full, "Cut nothing short");
  } else if (verb == "journal") {
    sub.add_option("--after", to.after, "Only records behind this one")->type_name("SEQ");
    sub.add_flag("--repair", to.out.repair, "Cut damage out; gantryd must be stopped");
    sub.add_option("DIR", to.out.argument);
  } else if (verb == "completion") {
    sub.add_option("SHELL", to.out.argument)->required();
  }
}

void build(CLI::App& app, raw_line& to) {
  app.name("gantry");
  app.description(about);
  app.footer(root_footer);
  app.formatter(std::make_shared<formatter>());
  app.set_help_flag("-h,--help", "Print this help");
  app.add_flag("-V,--version", to.version, "Print gantry's version");
  app.require_subcommand(0, 1);
  add_global(app, to);
  for (const auto* row = verb_rows(); row->verb; ++row) {
    auto* sub = app.add_subcommand(row->verb, row->summary);
    const std::string group = row->group;
    sub->group(group)->footer(row->footer)->fallthrough();
    const std::string verb = row->verb;
    if (verb == "update")
      sub->add_option("ID", to.out.ids)->required();
    if (group == "Make and run" ? verb != "start" : verb == "update")
      add_make_options(*sub, verb, to);
    else if (group == "Steer" || verb == "start")
      add_steer_options(*sub, verb, to);
    else
      add_look_options(*sub, verb, to);
  }
}

bool takes_value(const CLI::App& app, std::string_view name) {
  const auto* o = app.get_option_no_throw(std::string(name));
  return o && o->get_items_expected_max() > 0;
}

/// Index of the verb among `args`, or their number.
size_t find_verb(const CLI::App& app, const std::vector<std::string>& args) {
  const auto of_root = [&app](std::string_view name) { return takes_value(app, name); };
  const auto cut = split_at_command(args, 0, of_root);
  return args.size() - cut.command.size();
}

bool makes(std::string_view verb) {
  return verb == "run" || verb == "create" || verb == "exec";
}

usage_error wrong(std::string_view verb, std::string message, std::string cure = {}) {
  const std::string name = verb.empty() ? "" : std::string(verb) + ": ";
  if (cure.empty())
    cure = "see: gantry " + (verb.empty() ? "" : std::string(verb) + " ") + "--help";
  return {{ec::invalid_argument, name + std::move(message), std::move(cure)},
          makes(verb) ? 125 : 1};
}

/// How many letters must change to make `b` of `a`: for "did you mean".
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t corner = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t swap = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
      corner = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, swap});
    }
  }
  return row[b.size()];
}

usage_error no_such_verb(const std::string& word) {
  const verb_row* near = nullptr;
  for (const auto* row = verb_rows(); row->verb; ++row)
    if (distance(word, row->verb) <= 2 &&
        (!near || distance(word, row->verb) < distance(word, near->verb)))
      near = row;
  return wrong("", "there is no command \"" + printable(word) + "\"",
               near ? std::string("did you mean ") + near->verb + "?" : "");
}

} // namespace

std::variant<options, answer, usage_error> parse_command_line(int argc, const char* const* argv) {
  raw_line raw;
  raw.out.socket = environment("GANTRY_SOCKET", raw.out.socket);
  raw.out.ns = environment("GANTRY_NAMESPACE", "");
  CLI::App app;
  build(app, raw);
  std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  const size_t at = find_verb(app, args);
  std::string verb = at < args.size() ? args[at] : "";
  const auto* row = verb_row_of(verb);
  if (verb == "help") // `gantry help run` is what many type first.
    args = {at + 1 < args.size() ? args[at + 1] : "--help", "--help"};
  else if (!verb.empty() && !row)
    return no_such_verb(verb);
  if (makes(verb)) {
    const auto* sub = app.get_subcommand(verb);
    auto cut = split_at_command({args.begin() + std::ptrdiff_t(at) + 1, args.end()},
                                verb == "exec" ? 1 : 0, [sub, &app](std::string_view name) {
                                  return takes_value(*sub, name) || takes_value(app, name);
                                });
    args.resize(at + 1);
    args.insert(args.end(), cut.own.begin(), cut.own.end());
    raw.command = std::move(cut.command);
  }
  try {
    app.parse(std::vector<std::string>(args.rbegin(), args.rend())); // It takes the last first.
  } catch (const CLI::CallForHelp&) {
    return answer{app.help()};
  } catch (const CLI::ParseError& e) {
    return wrong(verb, e.what());
  }
  if (raw.version)
    return answer{"gantry " + std::string(version_text) + "\n"};
  if (verb.empty())
    return args.empty() ? std::variant<options, answer, usage_error>(answer{app.help()})
                        : wrong("", "no command is given");
  raw.out.verb = verb;
  auto done = convert(std::move(raw));
  if (!done)
    return wrong(verb, done.why().message, done.why().cure);
  return std::move(done).value();
}

std::vector<verb_words> all_words() {
  raw_line raw;
  CLI::App app;
  build(app, raw);
  std::vector<verb_words> out;
  const auto words_of = [&out](const CLI::App& a, std::string verb, std::string summary) {
    verb_words w{std::move(verb), std::move(summary), {}};
    for (const auto* o : a.get_options()) {
      for (const auto& name : o->get_snames())
        w.options.push_back({"-" + name, o->get_items_expected_max() > 0, o->get_description()});
      for (const auto& name : o->get_lnames())
        w.options.push_back({"--" + name, o->get_items_expected_max() > 0, o->get_description()});
    }
    out.push_back(std::move(w));
  };
  words_of(app, "", "");
  for (const auto* row = verb_rows(); row->verb; ++row)
    words_of(*app.get_subcommand(row->verb), row->verb, row->summary);
  return out;
}

} // namespace gantry::cli
