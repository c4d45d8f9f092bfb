#include <cstdio>
#include <memory>
#include <unistd.h>

#include "daemon.hpp"
#include "notify.hpp"

int main(int argc, char** argv) {
  using namespace gantry;
  auto parsed = daemon::parse(argc, argv);
  if (parsed.done)
    return parsed.exit_code;
  auto& o = parsed.options;
  io::launch_options how;
  how.keeper = o.keeper;
  how.control = o.supervisor.state_dir + "/keeper.sock";
  how.apart = o.keeper_apart;
  if (how.apart) // Of a service with this type the manager believes its first process, too.
    how.on_serving = [](int) { daemon::notify("READY=1"); };
  auto launched = io::become_supervised(argc, argv, how);
  if (!launched) {
    std::fprintf(stderr, "gantryd: %s\n", launched.why().text().c_str());
    return launched.why().code == ec::already_exists ? daemon::exit_unavailable : 1;
  }
  if (launched->what == io::launched::as::proxy)
    return launched->exit_code;
  auto sink = std::make_shared<io::log_sink>(STDERR_FILENO);
  auto logger = io::use_as_this_log(sink);
  logger->set_level(spdlog::level::from_str(o.log_level));
  daemon::daemon d{std::move(o), sink};
  if (auto started = d.start(*launched); !started) {
    sink->flush_now();
    std::fprintf(stderr, "gantryd: %s\n", started.why().text().c_str());
    std::fflush(stderr);
    _exit(daemon::exit_unavailable); // Half-made parts have nothing to say at the end.
  }
  return d.run();
}
