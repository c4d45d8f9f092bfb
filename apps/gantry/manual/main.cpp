#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "apps/gantry/grammar.hpp"

// Writes gantry's manual pages from the tables that make --help, too:
//   gantry-manual DIR          writes DIR/gantry.1 and DIR/gantry-COMMAND.1
//   gantry-manual --check DIR  says which of them are not as they would be written

namespace {

using gantry::cli::option_row;
using gantry::cli::option_rows;
using gantry::cli::verb_row;
using gantry::cli::verb_rows;

/// Text as roff's: hyphens are minus signs, and no line is a command.
std::string roff(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins = i == 0 || text[i - 1] == '\n';
    if (begins && (text[i] == '.' || text[i] == '\''))
      out += "\\&";
    if (text[i] == '-')
      out += "\\-";
    else if (text[i] == '\\')
      out += "\\e";
    else
      out += text[i];
  }
  return out;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c; });
  return text;
}

std::string head(const std::string& name, const std::string& summary) {
  return ".\\\" Written by gantry-manual from the tables in apps/gantry; not by hand.\n.TH "
         + upper(roff(name)) + " 1 \"\" \"gantry " + std::string(gantry::cli::version_text)
         + "\" \"gantry\"\n.SH NAME\n" + roff(name) + " \\- " + roff(summary) + "\n";
}

std::string option_text(const option_row& o) {
  std::string out = ".TP\n\\fB";
  if (o.short_name())
    out += std::string("\\-") + o.short_name() + "\\fR, \\fB";
  out += roff(o.long_name()) + "\\fR";
  if (o.takes_value())
    out += " \\fI" + roff(o.type) + "\\fR";
  return out + "\n" + roff(o.summary) + ".\n";
}

/// The options of a verb (or, with the empty one, of all), a section for each group.
std::string options_text(std::string_view verb) {
  std::vector<std::string> order;
  std::map<std::string, std::string> groups;
  for (const auto* o = option_rows(); o->names; ++o) {
    if (!o->belongs_to(verb) || (!verb.empty() && *o->verbs == '\0'))
      continue;
    auto [at, is_new] = groups.try_emplace(o->group);
    if (is_new)
      order.emplace_back(o->group);
    at->second += option_text(*o);
  }
  std::string out;
  for (const auto& group : order)
    out += ".SH " + upper(group) + "\n" + groups[group];
  return out;
}

/// Paragraphs of the help; lines that are moved in are examples.
std::string prose(const std::string& text) {
  std::string out;
  std::istringstream lines(text);
  std::string line;
  bool code = false, empty = true;
  while (std::getline(lines, line)) {
    if (line.empty()) {
      out += code ? "" : empty ? "" : ".PP\n";
      empty = true;
      continue;
    }
    const bool moved = line.starts_with("  ");
    if (moved != code)
      out += moved ? ".PP\n.nf\n" : ".fi\n.PP\n";
    code = moved;
    out += roff(moved ? line.substr(2) : line) + "\n";
    empty = false;
  }
  return out + (code ? ".fi\n" : "");
}

std::string page_of(const verb_row& row) {
  const std::string name = "gantry-" + std::string(row.verb);
  const std::string usage = row.usage;
  std::string out = head(name, row.summary) + ".SH SYNOPSIS\n\\fBgantry " + roff(row.verb) + "\\fR"
                    + (usage.empty() ? "" : " ") + roff(usage) + "\n";
  if (*row.footer)
    out += ".SH DESCRIPTION\n" + prose(row.footer);
  out += options_text(row.verb);
  return out + ".SH SEE ALSO\n\\fBgantry\\fR(1), which has the options of all commands\n";
}

constexpr const char* description =
  R"(gantry is the command line of gantryd, a container supervisor. It runs OCI bundles, or
commands in a root filesystem, through runc or crun, and reports everything that happens to
them: no byte of output, no exit and no event is lost or doubled, even when gantryd is killed
and comes back.

When gantryd goes away while a command is under way, the command waits up to 10 seconds for it
and goes on where it was. Requests are not done twice: each carries an id by which gantryd knows
a repeat.

Everything behind the first word that is no option belongs to the container's command. A
command that begins with a dash needs -- in front. Several ids are worked on at once; one that
fails is reported on stderr and does not keep the others from being done.
)";

constexpr const char* json_words =
  R"(With --json a command prints objects, one a line. Fields have a fixed order and are only
ever added. 64-bit numbers are numbers. Times are RFC 3339 in UTC with nanoseconds. What is not
there is null.

An event has seq, epoch, time, type, namespace, container, instance, run, process, pid, cause
(the seq of what led to it; 0: nothing), by (uid, gid, pid of the client, or null), details,
labels and, where there is one, message. An exit also has exit_code (null when a signal ended
the process), signal, core_dumped, oom, oom_level, stdout_bytes, stderr_bytes, io_open,
status_unknown, exited_at, ended_by and oom_victim.

A template of --format is Go's as far as it goes: {{.id}}, {{json .labels}}, {{upper .state}},
{{len .processes}}, {{index .labels "key"}}, {{if .exit}}...{{else}}...{{end}} and
{{range .processes}}...{{end}}. Fields are named as in the JSON, or in Go's way: .StartedAt is
started_at.
)";

constexpr const char* exits = R"(.TP
.B 0
Done.
.TP
.B run, exec
The process's own code, or 128+N where signal N ended it.
.TP
.B 125
gantry or gantryd failed; for run, create and exec also: the command line is wrong.
.TP
.B 126
The command cannot be executed.
.TP
.B 127
The command was not found.
.TP
.B 1
The command line is wrong (all other commands).
)";

constexpr const char* rest = R"(.SH ENVIRONMENT
.TP
.B GANTRY_SOCKET
As \fB\-\-socket\fR.
.TP
.B GANTRY_NAMESPACE
As \fB\-\-namespace\fR.
.TP
.B NO_COLOR
As \fB\-\-no\-color\fR, when it is not empty.
.SH FILES
.TP
.I /run/gantry/gantry.sock
gantryd's socket.
.TP
.I /var/lib/gantry/journal
The journal.
)";

std::string overview() {
  std::string out = head("gantry", "run containers and keep watch over them");
  out += ".SH SYNOPSIS\n\\fBgantry\\fR [OPTIONS] \\fICOMMAND\\fR ...\n.SH DESCRIPTION\n"
         + prose(description);
  std::string group;
  std::string also;
  for (const auto* row = verb_rows(); row->verb; ++row) {
    if (group != row->group)
      out += ".SH " + upper(group = row->group) + "\n";
    out += ".TP\n\\fBgantry\\-" + roff(row->verb) + "\\fR(1)\n" + roff(row->summary) + ".\n";
    also += std::string(also.empty() ? "" : ",\n") + "\\fBgantry\\-" + roff(row->verb) + "\\fR(1)";
  }
  return out + options_text("") + ".SH JSON AND TEMPLATES\n" + prose(json_words)
         + ".SH EXIT STATUS\n" + exits + rest + ".SH SEE ALSO\n" + also + "\n";
}

std::map<std::string, std::string> pages() {
  std::map<std::string, std::string> out{{"gantry.1", overview()}};
  for (const auto* row = verb_rows(); row->verb; ++row)
    out["gantry-" + std::string(row->verb) + ".1"] = page_of(*row);
  return out;
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Whether every page is current and none is left over.
bool check(const std::filesystem::path& dir) {
  const auto all = pages();
  bool fine = true;
  const auto complain = [&fine](const std::filesystem::path& path, const char* what) {
    std::fprintf(stderr, "%s: %s; write them anew: gantry-manual docs/man\n", path.c_str(), what);
    fine = false;
  };
  for (const auto& [name, text] : all)
    if (content_of(dir / name) != text)
      complain(dir / name, "is not what the tables in apps/gantry say");
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const auto name = entry.path().filename().string();
    const bool ours = name == "gantry.1" || (name.starts_with("gantry-") && name.ends_with(".1"));
    if (ours && !all.contains(name))
      complain(entry.path(), "is of a command that does not exist");
  }
  return fine;
}

} // namespace

int main(int argc, char** argv) {
  const bool checks = argc == 3 && std::string_view(argv[1]) == "--check";
  if (argc != 2 && !checks) {
    std::fprintf(stderr, "usage: gantry-manual [--check] DIR\n");
    return 2;
  }
  const std::filesystem::path dir = argv[argc - 1];
  if (checks)
    return check(dir) ? 0 : 1;
  for (const auto& [name, text] : pages()) {
    std::ofstream out(dir / name, std::ios::binary | std::ios::trunc);
    if (!(out << text)) {
      std::fprintf(stderr, "cannot write %s\n", (dir / name).c_str());
      return 1;
    }
  }
  return 0;
}
