#include "io/launch_proxy.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/keeper_socket.hpp"
#include "messages/unix_address.hpp"

namespace gantry::io {

namespace wire = keeper_wire;
using wire::word;

namespace {

/// A descriptor of this short-lived process.
struct owned {
  int number;
  ~owned() { ::close(number); }
};

result<std::string> strings_of(const std::string& program, int argc, char** argv,
                               wire::message& start) {
  std::error_code failed;
  auto directory = std::filesystem::current_path(failed);
  if (failed)
    return from_errno(failed.value(), "tell", "the working directory");
  std::string out;
  auto add = [&out](const std::string& text) { out.append(text).push_back('\0'); };
  add(program);
  add(directory.string());
  add(program); // argv[0]
  for (int i = 1; i < argc; ++i)
    add(argv[i]);
  start.value = static_cast<uint32_t>(argc < 1 ? 1 : argc);
  for (char** at = environ; *at != nullptr; ++at, ++start.aux)
    add(*at);
  if (out.size() + sizeof(start) > wire::max_packet || start.value > wire::max_arguments
      || start.aux > wire::max_variables)
    return error{ec::resource_exhausted,
                 "the arguments and the environment do not fit into 64 KiB",
                 "start gantryd with a smaller environment"};
  return out;
}

std::string refusal_text(const wire::message& refusal) {
  return {refusal.note, ::strnlen(refusal.note, sizeof(refusal.note))};
}

error refused(const wire::message& m, bool handed) {
  if (wire::refusal(m.value) == wire::refusal::busy)
    return {ec::already_exists,
            "a gantryd runs on this state already, as pid " + std::to_string(m.serial),
            "stop it first, or choose another --state"};
  if (wire::refusal(m.value) == wire::refusal::version)
    return {ec::unsupported,
            "the keeper that waits here speaks version " + std::to_string(m.aux),
            "stop all containers and the keeper, then start gantryd again"};
  if (wire::refusal(m.value) == wire::refusal::malformed && handed)
    return {ec::unsupported, "the keeper that waits here is an older one: it takes no sockets",
            "start gantryd without (stop gantry.socket), or stop all containers and the keeper"};
  return {ec::unavailable, "the keeper refuses to start gantryd: " + refusal_text(m), ""};
}

void say(const std::string& text) {
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Stands for a gantryd that runs under another process's keeper.
class proxy {
public:
  proxy(int keeper, const launch_options& how) : keeper_(keeper), how_(how) {}
  ~proxy() { ::close(pidfd_); }
  proxy(const proxy&) = delete;
  proxy& operator=(const proxy&) = delete;

  /// Passes signals on until there is an end to report.
  result<launched> stay();

private:
  std::optional<result<launched>> hear();
  void pass_on(int sig);
  static result<launched> end_with(int code) {
    return launched{launched::as::proxy, {}, code, {}};
  }

  int keeper_; ///< -1: it has gone, gantryd is watched by its pidfd.
  const launch_options& how_;
  int pidfd_ = -1;
  bool told_to_end_ = false;
};

/// Passes on what came; no value while there is nothing to end for.
std::optional<result<launched>> proxy::hear() {
  auto packet = receive_packet(keeper_);
  for (size_t i = 0; i < packet.count; ++i)
    ::close(packet.fds[i]);
  if (packet.size == -EAGAIN)
    return std::nullopt;
  if (packet.size != sizeof(wire::message)) {
    if (pidfd_ < 0)
      return error{ec::unavailable, "the keeper has gone while gantryd was being started", ""};
    say("gantryd: the keeper has gone, gantryd goes on without it\n");
    keeper_ = -1;
    return std::nullopt;
  }
  const auto& m = packet.what;
  const auto status = static_cast<int>(m.value);
  switch (m.what) {
  case word::error:
    return refused(m, !how_.handed.fds.empty());
  case word::serving:
    say("gantryd: runs as pid " + std::to_string(m.value) + " under the keeper that waited\n");
    if (how_.detach)
      return end_with(0);
    ::close(pidfd_);
    pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(m.value), 0));
    if (how_.on_serving)
      how_.on_serving(static_cast<int>(m.value));
    return std::nullopt;
  case word::ended:
    return end_with(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  default:
    return std::nullopt;
  }
}

void proxy::pass_on(int sig) {
  told_to_end_ = told_to_end_ || sig == SIGTERM || sig == SIGINT || sig == SIGQUIT;
  if (keeper_ >= 0)
    send_packet(keeper_, {.what = word::signal, .value = static_cast<uint32_t>(sig)}, {});
  else
    ::syscall(SYS_pidfd_send_signal, pidfd_, sig, nullptr, 0);
}

result<launched> proxy::stay() {
  sigset_t set;
  sigemptyset(&set);
  for (int sig : {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGABRT})
    sigaddset(&set, sig);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  owned signals{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
  while (true) {
    // A pidfd is readable when its process has ended; the keeper tells that better.
    const bool alone = keeper_ < 0;
    pollfd p[] = {{alone ? pidfd_ : keeper_, POLLIN, 0}, {signals.number, POLLIN, 0}};
    if (::poll(p, 2, -1) < 0)
      continue;
    signalfd_siginfo x{};
    if (p[1].revents != 0 && ::read(signals.number, &x, sizeof(x)) == sizeof(x))
      pass_on(static_cast<int>(x.ssi_signo));
    if (p[0].revents == 0)
      continue;
    if (alone)
      return end_with(told_to_end_ ? 0 : 1);
    if (auto end = hear())
      return std::move(*end);
  }
}

} // namespace

result<int> connect_keeper(const std::string& control) {
  const auto at = unix_address_of(control);
  if (!at)
    return error{ec::invalid_argument, "the path is too long for a socket: " + control,
                 "choose a shorter --state"};
  const int number = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (number < 0)
    return from_errno(errno, "make", "a socket");
  if (::connect(number, at->get(), at->size) != 0) {
    const int err = errno;
    ::close(number);
    if (err == ENOENT || err == ECONNREFUSED) // none, or one that has died
      return -1;
    return from_errno(err, "connect to the keeper at", control);
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(number, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0
      || (peer.uid != ::geteuid() && peer.uid != 0)) {
    ::close(number);
    return error{ec::permission_denied, "somebody else's process listens on " + control,
                 "remove it, or choose another --state"};
  }
  return number;
}

result<launched> hand_over(int keeper, const std::string& program, int argc, char** argv,
                           const launch_options& how) {
  owned connection{keeper};
  wire::message start{.what = word::start, .kind = shelf_handed, .serial = how.apart ? 1u : 0u};
  how.handed.marks.copy(start.note, sizeof(start.note) - 1);
  auto strings = strings_of(program, argc, argv, start);
  if (!strings)
    return std::move(strings).why();
  std::vector<int> fds{0, 1, 2};
  fds.insert(fds.end(), how.handed.fds.begin(), how.handed.fds.end());
  // A keeper that is busy says so and hangs up: its answer counts, not our EPIPE.
  if (auto res = send_packet(keeper, start, fds, *strings);
      res < 0 && res != -EPIPE && res != -ECONNRESET && res != -ECONNREFUSED)
    return from_errno(-res, "ask", "the keeper that waits");
  return proxy(keeper, how).stay();
}

} // namespace gantry::io
