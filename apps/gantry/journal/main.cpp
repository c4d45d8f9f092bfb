// gantry-journal: what `gantry journal` runs. It reads a journal's directory from disk, so
// it needs the runtime's library, which the command line itself does without.
//
//   gantry-journal [--json] [--after SEQ] [--repair] [DIR]

#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>

#include "apps/gantry/say.hpp"
#include "runtime/journal_dump.hpp"

namespace {

using namespace gantry;

constexpr std::string_view usage = "usage: gantry journal [--json] [--after SEQ] [--repair] [DIR]";
constexpr size_t batch_bytes = 64u << 10;

struct arguments {
  std::string dir = "/var/lib/gantry/journal";
  runtime::dump_options dump;
  bool repair = false;
};

std::optional<arguments> parse(int argc, char** argv) {
  arguments out;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--json") {
      out.dump.json = true;
    } else if (word == "--repair") {
      out.repair = true;
    } else if (word == "--after" && i + 1 < argc) {
      const std::string_view number = argv[++i];
      const auto [end, fault] =
        std::from_chars(number.data(), number.data() + number.size(), out.dump.after);
      if (fault != std::errc() || end != number.data() + number.size())
        return {};
    } else if (word.starts_with('-')) {
      return {};
    } else {
      out.dir = word;
    }
  }
  return out;
}

int finish(const result<runtime::dump_report>& report, const arguments& args) {
  if (!report) {
    cli::say_error(report.why());
    return exit_code_of(report.why().code);
  }
  for (const auto& line : report->said)
    cli::say_note(line);
  if (!report->damaged || args.repair)
    return 0; // A repair has said what it did.
  cli::say_error({ec::data_loss, "the journal in " + args.dir + " is damaged",
                  "stop gantryd, then: gantry journal --repair " + args.dir});
  return 125;
}

} // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const auto args = parse(argc, argv);
  if (!args) {
    cli::say_note(usage);
    return 1;
  }
  cli::set_error_style(args->dump.json, false);
  if (args->repair)
    return finish(runtime::repair_journal(args->dir), *args);
  std::string batch;
  const auto report = runtime::dump_journal(args->dir, args->dump, [&batch](std::string_view line) {
    batch.append(line).append("\n");
    if (batch.size() >= batch_bytes) {
      cli::print(batch);
      batch.clear();
    }
  });
  cli::print(batch);
  return finish(report, *args);
}
