#include "io/launch.hpp"

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "io/keeper_wire.hpp"
#include "io/launch_proxy.hpp"

namespace gantry::io {

namespace wire = keeper_wire;
namespace fs = std::filesystem;

namespace {

constexpr std::string_view keeper_name = "gantry-keeper";

/// Where our program lies now; after an upgrade the kernel adds a word to the old name.
std::string own_program() {
  char path[PATH_MAX];
  auto size = ::readlink("/proc/self/exe", path, sizeof(path));
  std::string out(path, size > 0 ? static_cast<size_t>(size) : 0);
  constexpr std::string_view deleted = " (deleted)";
  if (out.ends_with(deleted))
    out.resize(out.size() - deleted.size());
  return out;
}

result<std::string> find_keeper(const launch_options& how, const std::string& own) {
  if (!how.program.empty())
    return how.program;
  const auto here = fs::path(own).parent_path();
  const fs::path places[] = {here, here / "../libexec/gantry", "/usr/libexec/gantry",
                             here / "../keeper"}; // the last one: a build tree
  for (const auto& place : places) {
    const auto path = (place / keeper_name).lexically_normal().string();
    if (::access(path.c_str(), X_OK) == 0)
      return path;
  }
  return error{ec::not_found, "cannot find the program gantry-keeper beside " + own,
               "install it there or in /usr/libexec/gantry, or pass --no-keeper"};
}

/// The keeper's program and its options, without what it is to run.
result<std::vector<std::string>> keeper_words(const launch_options& how) {
  std::vector<std::string> words{std::string(keeper_name)};
  if (!how.control.empty()) {
    std::error_code failed;
    fs::create_directories(fs::path(how.control).parent_path(), failed);
    if (failed)
      return from_errno(failed.value(), "make the directory of", how.control);
    words.insert(words.end(), {"--control", how.control});
  }
  if (how.max_restarts > 0)
    words.insert(words.end(), {"--max-restarts", std::to_string(how.max_restarts)});
  return words;
}

/// What was handed over stays open for the keeper that this process becomes.
result<void> hand_to_keeper(const handed_sockets& handed, std::vector<std::string>& words) {
  if (handed.fds.empty())
    return {};
  words.insert(words.end(), {"--shelve", std::to_string(shelf_handed) + ":" + handed.marks});
  for (const int number : handed.fds)
    if (::fcntl(number, F_SETFD, 0) != 0)
      return from_errno(errno, "hand over", "a listening socket");
  return {};
}

std::vector<char*> arguments_of(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (auto& word : words)
    out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

/// Comes back only with an error.
error become_keeper(int argc, char** argv, const launch_options& how, const std::string& own) {
  auto program = find_keeper(how, own);
  if (!program)
    return std::move(program).why();
  auto words = keeper_words(how);
  if (!words)
    return std::move(words).why();
  if (auto handed = hand_to_keeper(how.handed, *words); !handed)
    return std::move(handed).why();
  words->insert(words->end(), {"--", own});
  for (int i = 1; i < argc; ++i)
    words->emplace_back(argv[i]);
  ::execv(program->c_str(), arguments_of(*words).data());
  return from_errno(errno, "execute", *program);
}

/// Starts a keeper that waits on the control socket, in a session of its own; our connection
/// to it.
result<int> start_keeper_apart(const launch_options& how, const std::string& own) {
  auto program = find_keeper(how, own);
  if (!program)
    return std::move(program).why();
  auto words = keeper_words(how);
  if (!words)
    return std::move(words).why();
  auto pointers = arguments_of(*words);
  const pid_t pid = ::fork();
  if (pid < 0)
    return from_errno(errno, "fork", *program);
  if (pid == 0) {
    ::setsid();
    ::execv(program->c_str(), pointers.data());
    ::_exit(127);
  }
  constexpr int tries = 1000; // 10 s
  for (int i = 0; i < tries; ++i) {
    auto connected = connect_keeper(how.control);
    if (!connected || *connected >= 0)
      return connected;
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid)
      break;
    ::poll(nullptr, 0, 10);
  }
  return error{ec::unavailable, "the keeper " + *program + " does not listen on " + how.control,
               "its own words stand above this line"};
}

} // namespace

result<keeper_fds> parse_keeper_variable(const std::string& value) {
  int numbers[4] = {}; // version, socket, arena, news
  const char* at = value.data();
  const char* end = at + value.size();
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && (at == end || *at++ != ':'))
      return error{ec::invalid_argument, "GANTRY_KEEPER cannot be read: " + value, ""};
    auto parsed = std::from_chars(at, end, numbers[i]);
    if (parsed.ec != std::errc{} || numbers[i] < 0)
      return error{ec::invalid_argument, "GANTRY_KEEPER cannot be read: " + value, ""};
    at = parsed.ptr;
    if (i == 0 && numbers[0] != wire::version)
      return error{ec::unsupported,
                   "the keeper speaks version " + std::to_string(numbers[0])
                     + " of the protocol, this gantryd version " + std::to_string(wire::version),
                   "stop all containers and the keeper, then start gantryd again"};
  }
  if (at != end)
    return error{ec::invalid_argument, "GANTRY_KEEPER cannot be read: " + value, ""};
  return keeper_fds{numbers[1], numbers[2], numbers[3]};
}

/// The keeper made the pair and is our parent. Else the variable came down by inheritance,
/// and what stands at this number is something else.
static bool comes_from_parent(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0
         && peer.pid == ::getppid();
}

bool keeper_is_parent() {
  const char* value = std::getenv(wire::environment); // NOLINT(concurrency-mt-unsafe): read only
  if (value == nullptr)
    return false;
  const auto fds = parse_keeper_variable(value);
  return fds && comes_from_parent(fds->socket);
}

result<std::optional<keeper_fds>> take_keeper() {
  const char* value = std::getenv(wire::environment); // NOLINT(concurrency-mt-unsafe): read only
  if (value == nullptr)
    return std::optional<keeper_fds>{};
  auto fds = parse_keeper_variable(value);
  if (!fds)
    return std::move(fds).why();
  if (!comes_from_parent(fds->socket))
    return std::optional<keeper_fds>{};
  if (::fcntl(fds->socket, F_GETFD) == FD_CLOEXEC)
    return error{ec::already_exists, "another supervisor of this process has its keeper",
                 "start this one without (keeper = false)"};
  for (int number : {fds->socket, fds->arena, fds->news})
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0)
      return from_errno(errno, "take over", "the keeper's descriptors");
  return std::optional{*fds};
}

result<launched> become_supervised(int argc, char** argv, const launch_options& how) {
  auto taken = take_keeper();
  if (!taken)
    return std::move(taken).why();
  ::unsetenv(wire::environment);
  if (*taken)
    return launched{launched::as::supervised, **taken, 0, {}};
  if (!how.keeper)
    return launched{launched::as::alone, {}, 0, how.handed};
  const auto own = own_program();
  if (own.empty())
    return error{ec::unsupported, "cannot tell our own program from /proc/self/exe",
                 "mount /proc"};
  if (!how.control.empty()) {
    auto waiting = connect_keeper(how.control);
    if (!waiting)
      return std::move(waiting).why();
    if (*waiting >= 0)
      return hand_over(*waiting, own, argc, argv, how);
    if (how.apart) {
      auto started = start_keeper_apart(how, own);
      if (!started)
        return std::move(started).why();
      return hand_over(*started, own, argc, argv, how);
    }
  }
  return become_keeper(argc, argv, how, own);
}

} // namespace gantry::io
