#include <set>

#include "apps/gantry/session.hpp"

namespace gantry::cli {

namespace {

/// Verbs whose words are containers' ids.
bool takes_ids(const std::string& verb) {
  static const std::set<std::string> verbs{"start",  "exec",   "kill", "stop",    "pause",
                                           "resume", "update", "rm",   "inspect", "logs",
                                           "wait",   "top",    "stats"};
  return verbs.contains(verb);
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
  case $prev in
    --bundle|--rootfs) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --socket) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --network) COMPREPLY=($(compgen -W 'none host' -- "$cur")); return ;;
    --format) COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
    -s|--signal|--stop-signal) COMPREPLY=($(compgen -A signal -- "$cur")); return ;;
  esac
  local global=)sh";
  out += quoted(option_names(all.front())) + " options= ids=\n  case $verb in\n";
  out += "    '') options=" + quoted(verb_names(all)) + " ;;\n";
  for (const auto& w : all) {
    if (w.verb.empty())
      continue;
    out += "    " + w.verb + ") options=" + quoted(option_names(w));
    out += takes_ids(w.verb) ? "; ids=1" : "";
    out += " ;;\n";
  }
  out += R"sh(  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options $global" -- "$cur"))
  elif [[ -z $verb ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ $verb == completion ]]; then
    COMPREPLY=($(compgen -W 'bash zsh fish' -- "$cur"))
  elif [[ -n $ids ]]; then
    COMPREPLY=($(compgen -W "$(gantry ps -aq 2>/dev/null)" -- "$cur"))
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
    out += takes_ids(w.verb) ? "; ids=(${(f)\"$(gantry ps -aq 2>/dev/null)\"})" : "";
    out += " ;;\n";
  }
  out += R"sh(  esac
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
  std::string out = "# gantry's completion for fish.\nset -l verbs " + verb_names(all) +
                    "\ncomplete -c gantry -f\n";
  for (const auto& w : all) {
    const std::string when =
      w.verb.empty() ? "" : " -n '__fish_seen_subcommand_from " + w.verb + "'";
    if (!w.verb.empty())
      out += "complete -c gantry -n \"not __fish_seen_subcommand_from $verbs\" -a " + w.verb +
             " -d " + quoted(w.summary) + "\n";
    for (const auto& o : w.options) {
      const bool is_long = o.name.starts_with("--");
      out +=
        "complete -c gantry" + when + (is_long ? " -l " : " -s ") + o.name.substr(is_long ? 2 : 1);
      out += o.takes_value ? o.name == "--rootfs" || o.name == "--bundle" ? " -r -F" : " -x" : "";
      out += " -d " + quoted(o.summary) + "\n";
    }
    if (takes_ids(w.verb))
      out += "complete -c gantry" + when + " -a '(gantry ps -aq 2>/dev/null)'\n";
  }
  return out +
         "complete -c gantry -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n";
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
