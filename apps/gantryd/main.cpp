#include <cstdio>
#include <cstring>
#include <google/protobuf/stubs/logging.h>
#include <memory>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon.hpp"
#include "io/log.hpp"
#include "io/log_pack.hpp"
#include "notify.hpp"
#include "sockets.hpp"

namespace {

/// What gantryd starts itself for: packs one log file, with as little claim to the machine as
/// there can be.
int pack_log(const char* path) {
  constexpr int idle_class = 3 << 13; // IOPRIO_CLASS_IDLE
  ::setpriority(PRIO_PROCESS, 0, 19);
  ::syscall(SYS_ioprio_set, 1, 0, idle_class);
  const auto done = gantry::io::pack_log(path);
  if (!done)
    std::fprintf(stderr, "gantryd: %s\n", done.why().text().c_str());
  return done ? 0 : 1;
}

/// What protobuf has to say (of a client's string that is no UTF-8) goes where all else goes:
/// it would write to stderr itself, and wait there.
void take_words_of_protobuf(google::protobuf::LogLevel level, const char*, int,
                            const std::string& text) {
  if (level == google::protobuf::LOGLEVEL_FATAL)
    gantry::io::log_critical("protobuf: {}", text);
  else
    gantry::io::log_debug("protobuf: {}", text);
}

} // namespace

int main(int argc, char** argv) {
  using namespace gantry;
  if (argc == 3 && std::strcmp(argv[1], "pack-log") == 0)
    return pack_log(argv[2]);
  auto parsed = daemon::parse(argc, argv);
  if (parsed.done)
    return parsed.exit_code;
  auto& o = parsed.options;
  io::launch_options how;
  how.keeper = o.keeper;
  how.control = o.supervisor.state_dir + "/keeper.sock";
  how.apart = o.keeper_apart;
  auto handed = daemon::take_handed_sockets(o);
  if (!handed) {
    std::fprintf(stderr, "gantryd: %s\n", handed.why().text().c_str());
    return daemon::exit_config;
  }
  how.handed = std::move(*handed);
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
  google::protobuf::SetLogHandler(take_words_of_protobuf);
  logger->set_level(spdlog::level::from_str(o.log_level));
  o.supervisor.packer = {"/proc/self/exe", "pack-log"};
  daemon::daemon d{std::move(o), sink};
  if (auto started = d.start(*launched); !started) {
    sink->flush_now();
    std::fprintf(stderr, "gantryd: %s\n", started.why().text().c_str());
    std::fflush(stderr);
    _exit(daemon::exit_unavailable); // Half-made parts have nothing to say at the end.
  }
  return d.run();
}
