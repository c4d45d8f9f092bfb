#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "apps/gantry/options.hpp"

// The command line as data: which verbs there are and which options each has. Parsing, help,
// completion and the manual are made from these two tables.

namespace gantry::cli {

/// The words of a verb that are no options.
enum class words : uint8_t {
  none,
  ids,         ///< ID...
  some_ids,    ///< [ID...]
  one_id,      ///< ID
  one_process, ///< ID [PROCESS]
  word,        ///< What is not a container; one.
  some_word,   ///< The same, may be absent.
  command,     ///< CMD..., untouched from its first word on.
  id_command,  ///< ID CMD...
};

/// One verb, as help shows it.
struct verb_row {
  const char* verb;
  const char* group;
  const char* summary;
  const char* usage; ///< Behind `gantry VERB`.
  words takes;
  const char* footer; ///< Examples and particulars; whole lines.
};

/// The verbs in the order of the help; ends with a row of nulls.
const verb_row* verb_rows();
/// By name, or by another name that docker's users type (`ls`, `unpause`); null for none.
const verb_row* verb_row_of(std::string_view verb);

/// One option of one or more verbs.
struct option_row {
  const char* names;   ///< `-m,--memory`, or the long one alone.
  const char* type;    ///< What stands for the value in help; empty: a flag, without a value.
  const char* verbs;   ///< `run create`; empty: all of them.
  const char* group;   ///< Heading in the help.
  const char* summary; ///< One line.

  /// `--memory`.
  [[nodiscard]] std::string_view long_name() const;
  /// `m`, or 0.
  [[nodiscard]] char short_name() const;
  [[nodiscard]] bool takes_value() const { return *type != '\0'; }
  /// Options of all verbs belong to the empty one, too.
  [[nodiscard]] bool belongs_to(std::string_view verb) const;
};

/// All options in the order of the help; ends with a row of nulls.
const option_row* option_rows();

/// A command line taken apart, values not yet understood.
class raw_line {
public:
  const verb_row* verb = nullptr;
  std::vector<std::string> ids; ///< What is no option, in front of a command.
  std::vector<std::string> command;

  /// Sets option `name` once more.
  void add(const option_row& row, std::string value);

  // Names are long ones: `--memory`. One that no verb has is a bug and aborts.
  [[nodiscard]] bool given(std::string_view name) const { return find(name) != nullptr; }
  /// The last value; empty when there is none.
  [[nodiscard]] std::string text(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> list(std::string_view name) const;
  /// Whether the flag is set: `--rm`, but not `--rm=false`.
  [[nodiscard]] bool flag(std::string_view name) const { return text(name) == "true"; }

private:
  [[nodiscard]] const std::vector<std::string>* find(std::string_view name) const;

  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

/// Takes the arguments (without the program's name) apart: options of all verbs anywhere,
/// a verb's own behind it, until `--` or its command. An option that is given twice has both
/// values; short flags may be glued (`-dit`), also to the last one's value (`-m64m`).
/// @returns An error that names the word.
result<raw_line> take_apart(const std::vector<std::string>& args);

/// Help for one verb, or for all of it.
std::string help_text(const verb_row* verb);

/// Understands the strings of `line`.
/// @returns An error that names the option.
result<options> convert(const raw_line& line);

} // namespace gantry::cli
