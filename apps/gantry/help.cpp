#include "apps/gantry/grammar.hpp"

namespace gantry::cli {

namespace {

constexpr size_t column = 34;

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

constexpr size_t most_columns = 100;

/// `right` on lines of its own column, broken at spaces.
std::string wrapped(std::string_view right) {
  std::string out;
  while (right.size() > most_columns - column) {
    const size_t space = right.rfind(' ', most_columns - column);
    if (space == std::string_view::npos)
      break;
    out += std::string(right.substr(0, space)) + "\n" + std::string(column, ' ');
    right.remove_prefix(space + 1);
  }
  return out + std::string(right);
}

void add_line(std::string& out, std::string left, std::string_view right) {
  left.insert(0, "  ");
  if (left.size() + 1 >= column)
    left += "\n" + std::string(column, ' ');
  else
    left.resize(column, ' ');
  out += left + wrapped(right) + "\n";
}

std::string names_of(const option_row& o) {
  const std::string_view name = o.long_name();
  std::string out = o.short_name() ? std::string("-") + o.short_name() + ", " : "    ";
  return out.append(name).append(o.takes_value() ? " " : "").append(o.type);
}

/// A heading in front of each group; a group's rows may stand apart in the table.
std::string options_of(std::string_view verb) {
  std::vector<std::string> order;
  std::map<std::string, std::string, std::less<>> groups;
  for (const auto* o = option_rows(); o->names; ++o) {
    if (!o->belongs_to(verb))
      continue;
    auto [at, is_new] = groups.try_emplace(o->group);
    if (is_new)
      order.emplace_back(o->group);
    add_line(at->second, names_of(*o), o->summary);
  }
  std::string out;
  for (const auto& group : order)
    out += group + ":\n" + groups[group] + "\n";
  return out;
}

std::string commands() {
  std::string out;
  std::string_view group;
  for (const auto* row = verb_rows(); row->verb; ++row) {
    if (group != row->group) {
      out.append(group.empty() ? "" : "\n").append(row->group).append(":\n");
      group = row->group;
    }
    add_line(out, row->verb, row->summary);
  }
  return out + "\n";
}

} // namespace

std::string help_text(const verb_row* verb) {
  if (!verb)
    return "Usage: gantry [OPTIONS] COMMAND ...\n\n" + std::string(about) + "\n\n" + commands()
           + options_of("") + root_footer + "\n";
  const std::string usage = verb->usage;
  std::string out = "Usage: gantry " + std::string(verb->verb) + (usage.empty() ? "" : " ") + usage
                    + "\n\n" + verb->summary + ".\n\n" + options_of(verb->verb) + verb->footer;
  out.erase(out.find_last_not_of('\n') + 1);
  return out + "\n";
}

} // namespace gantry::cli
