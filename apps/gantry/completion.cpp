#include <algorithm>
#include <array>
#include <map>

#include "apps/gantry/grammar.hpp"
#include "apps/gantry/session.hpp"

namespace gantry::cli {

namespace {

/// Lists the containers that a verb can be about; empty where its words are no ids.
std::string ids_of(const std::string& verb) {
  const auto* row = verb_row_of(verb);
  const auto takes = row ? row->takes : words::none;
  if (takes == words::none || takes == words::command || takes == words::word
      || takes == words::some_word)
    return {};
  const std::string list = "gantry ps -q";
  if (verb == "start")
    return list + " --filter state=created --filter state=stopped";
  constexpr std::array living{"stop", "kill", "pause", "resume", "exec", "top", "stats", "update"};
  return std::find(living.begin(), living.end(), verb) != living.end() ? list : list + " -a";
}

/// For a shell's single quotes.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string option_names(const verb_words& w) {
  std::string out;
  for (const auto& o : w.options)
    out.append(out.empty() ? "" : " ").append(o.name);
  return out;
}

std::string verb_names(const std::vector<verb_words>& all) {
  std::string out;
  for (const auto& w : all)
    if (!w.verb.empty())
      out.append(out.empty() ? "" : " ").append(w.verb);
  return out;
}

/// Which values an option has, for a shell's case: `run:--rootfs) values=dirs ;;`.
std::string value_cases(const std::vector<verb_words>& all) {
  std::map<std::string, std::string> by_values;
  for (const auto& w : all)
    for (const auto& o : w.options)
      if (o.takes_value) {
        auto& names = by_values[o.values.empty() ? "any" : o.values];
        names.append(names.empty() ? "" : "|").append(w.verb.empty() ? "*" : w.verb);
        names.append(":").append(o.name);
      }
  std::string out;
  for (const auto& [values, names] : by_values)
    out += "    " + names + ") values=" + quoted(values) + " ;;\n";
  return out;
}

std::string for_bash(const std::vector<verb_words>& all) {
  std::string out = R"sh(# gantry's completion for bash.
_gantry() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --socket|-n|--namespace) ((i++)) ;;
      -*) ;;
      *) verb=${COMP_WORDS[i]}; break ;;
    esac
  done
  local values=
  case $verb:$prev in
)sh";
  out += value_cases(all);
  out += R"sh(  esac
  case $values in
    '') ;;
    dirs) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    files) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    signals) COMPREPLY=($(compgen -A signal -- "$cur")); return ;;
    any) return ;;
    *) COMPREPLY=($(compgen -W "$values" -- "$cur")); return ;;
  esac
  local global=)sh";
  out += quoted(option_names(all.front())) + " options= ids=\n  case $verb in\n";
  out += "    '') options=" + quoted(verb_names(all)) + " ;;\n";
  for (const auto& w : all) {
    if (w.verb.empty())
      continue;
    out += "    " + w.verb + ") options=" + quoted(option_names(w));
    if (const auto list = ids_of(w.verb); !list.empty())
      out += "; ids=" + quoted(list);
    out += " ;;\n";
  }
  out += R"sh(  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options $global" -- "$cur"))
  elif [[ -z $verb ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ $verb == completion ]]; then
    COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur"))
  elif [[ $verb == system ]]; then
    COMPREPLY=($(compgen -W 'df' -- "$cur"))
  elif [[ -n $ids ]]; then
    COMPREPLY=($(compgen -W "$($ids 2>/dev/null)" -- "$cur"))
  else
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -F _gantry gantry
)sh";
  return out;
}

/// What zsh's _describe would take for a separator is escaped.
std::string for_zsh_word(const std::string& name, const std::string& summary) {
  std::string out;
  for (char c : name)
    out += c == ':' ? std::string("\\:") : std::string(1, c);
  return quoted(out + ":" + summary);
}

std::string for_zsh(const std::vector<verb_words>& all) {
  std::string out = "#compdef gantry\n# gantry's completion for zsh.\n_gantry() {\n"
                    "  local -a verbs options ids\n  local verb= i\n  verbs=(\n";
  for (const auto& w : all)
    if (!w.verb.empty())
      out += "    " + for_zsh_word(w.verb, w.summary) + "\n";
  out += R"sh(  )
  for ((i = 2; i < CURRENT; i++)); do
    case ${words[i]} in
      --socket|-n|--namespace) ((i++)) ;;
      -*) ;;
      *) verb=${words[i]}; break ;;
    esac
  done
  case $verb in
)sh";
  for (const auto& w : all) {
    out += "    " + (w.verb.empty() ? "''" : w.verb) + ") options=(\n";
    for (const auto& o : w.options)
      out += "      " + for_zsh_word(o.name, o.summary) + "\n";
    out += "    )";
    if (const auto list = ids_of(w.verb); !list.empty())
      out += "; ids=(${(f)\"$(" + list + " 2>/dev/null)\"})";
    out += " ;;\n";
  }
  out += R"sh(  esac
  local values=
  case $verb:${words[CURRENT-1]} in
)sh" + value_cases(all);
  out += R"sh(  esac
  case $values in
    '') ;;
    dirs) _files -/; return ;;
    files) _files; return ;;
    signals) _signals; return ;;
    any) return ;;
    *) compadd -- ${=values}; return ;;
  esac
  if [[ ${words[CURRENT]} == -* ]]; then
    _describe option options
  elif [[ -z $verb ]]; then
    _describe command verbs
  elif [[ $verb == completion ]]; then
    compadd bash zsh fish
  elif (( ${#ids} )); then
    compadd -- $ids
  else
    _files
  fi
}
compdef _gantry gantry
)sh";
  return out;
}

std::string for_fish(const std::vector<verb_words>& all) {
  std::string out = "# gantry's completion for fish.\nset -l verbs " + verb_names(all)
                    + "\ncomplete -c gantry -f\n";
  for (const auto& w : all) {
    const std::string when =
      w.verb.empty() ? "" : " -n '__fish_seen_subcommand_from " + w.verb + "'";
    if (!w.verb.empty())
      out += "complete -c gantry -n \"not __fish_seen_subcommand_from $verbs\" -a " + w.verb
             + " -d " + quoted(w.summary) + "\n";
    for (const auto& o : w.options) {
      const bool is_long = o.name.starts_with("--");
      out +=
        "complete -c gantry" + when + (is_long ? " -l " : " -s ") + o.name.substr(is_long ? 2 : 1);
      if (o.takes_value && (o.values == "dirs" || o.values == "files"))
        out += " -r -F";
      else if (o.takes_value)
        out += o.values.empty() || o.values == "signals" ? " -x" : " -x -a " + quoted(o.values);
      out += " -d " + quoted(o.summary) + "\n";
    }
    if (const auto list = ids_of(w.verb); !list.empty())
      out += "complete -c gantry" + when + " -a '(" + list + " 2>/dev/null)'\n";
  }
  return out
         + "complete -c gantry -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n";
}

} // namespace

int completion_command(session& s) {
  const auto words = all_words();
  if (s.opt.argument == "bash")
    print(for_bash(words));
  else if (s.opt.argument == "zsh")
    print(for_zsh(words));
  else if (s.opt.argument == "fish")
    print(for_fish(words));
  else {
    say_error(
      {ec::invalid_argument, "no completion for \"" + s.opt.argument + "\"", "bash, zsh or fish"});
    return 1;
  }
  return 0;
}

} // namespace gantry::cli
