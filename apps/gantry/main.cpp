#include <array>
#include <csignal>

#include "apps/gantry/options.hpp"
#include "apps/gantry/session.hpp"

namespace {

using gantry::cli::session;

struct row {
  std::string_view verb;
  int (*run)(session&);
};

constexpr std::array commands{
  row{"run", gantry::cli::run_command},
  row{"create", gantry::cli::run_command},
  row{"exec", gantry::cli::exec_command},
  row{"attach", gantry::cli::attach_command},
  row{"start", gantry::cli::start_command},
  row{"kill", gantry::cli::kill_command},
  row{"stop", gantry::cli::stop_command},
  row{"pause", gantry::cli::pause_command},
  row{"resume", gantry::cli::resume_command},
  row{"update", gantry::cli::update_command},
  row{"checkpoint", gantry::cli::checkpoint_command},
  row{"health", gantry::cli::health_command},
  row{"why", gantry::cli::why_command},
  row{"rm", gantry::cli::remove_command},
  row{"wait", gantry::cli::wait_command},
  row{"ps", gantry::cli::list_command},
  row{"inspect", gantry::cli::inspect_command},
  row{"logs", gantry::cli::logs_command},
  row{"top", gantry::cli::top_command},
  row{"stats", gantry::cli::stats_command},
  row{"events", gantry::cli::events_command},
  row{"info", gantry::cli::info_command},
  row{"version", gantry::cli::version_command},
  row{"system", gantry::cli::system_command},
  row{"journal", gantry::cli::journal_command},
  row{"completion", gantry::cli::completion_command},
};

} // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN); // A reader that has gone is an errno, and a quiet end.
  auto line = gantry::cli::parse_command_line(argc, argv);
  if (const auto* text = std::get_if<gantry::cli::answer>(&line)) {
    gantry::cli::print(text->text);
    return 0;
  }
  if (const auto* wrong = std::get_if<gantry::cli::usage_error>(&line)) {
    gantry::cli::set_error_style(false, false);
    gantry::cli::say_error(wrong->why);
    return wrong->exit_code;
  }
  session s(std::get<gantry::cli::options>(std::move(line)));
  gantry::cli::set_error_style(s.opt.json, s.opt.no_color);
  for (const auto& c : commands)
    if (c.verb == s.opt.verb)
      return c.run(s);
  GANTRY_CHECK(!"a verb without a command");
}
