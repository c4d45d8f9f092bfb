#include "apps/gantry/split.hpp"

namespace gantry::cli {

namespace {

/// True when the value of the option in `arg` is the next argument.
bool value_follows(std::string_view arg, const std::function<bool(std::string_view)>& takes_value) {
  if (arg.starts_with("--"))
    return arg.find('=') == std::string_view::npos && takes_value(arg);
  // A cluster: -dit. The first that takes a value has the rest of it, if there is any.
  for (size_t i = 1; i < arg.size(); ++i)
    if (takes_value(std::string("-") + arg[i]))
      return i + 1 == arg.size();
  return false;
}

} // namespace

split_line split_at_command(const std::vector<std::string>& args, size_t positionals,
                            const std::function<bool(std::string_view)>& takes_value) {
  split_line out;
  size_t i = 0;
  for (; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      ++i;
      break;
    }
    const bool option = arg.size() > 1 && arg[0] == '-';
    if (!option && positionals == 0)
      break;
    if (!option)
      --positionals;
    out.own.push_back(arg);
    if (option && i + 1 < args.size() && value_follows(arg, takes_value))
      out.own.push_back(args[++i]);
  }
  // `exec -- ID CMD`: what is still ours stands behind the dashes.
  for (; positionals > 0 && i < args.size(); --positionals)
    out.own.push_back(args[i++]);
  if (i < args.size() && i > 0 && args[i] == "--" && args[i - 1] != "--")
    ++i;
  out.command.assign(args.begin() + static_cast<std::ptrdiff_t>(i), args.end());
  return out;
}

} // namespace gantry::cli
