#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "io/arena.hpp"
#include "io/keeper_socket.hpp"

namespace gantry::keeper_tests {

namespace wire = io::keeper_wire;

/// Waits until `done`, looking again every millisecond; false after `limit`.
bool wait_until(const std::function<bool()>& done,
                std::chrono::milliseconds limit = std::chrono::seconds(10));

/// Whether the descriptor becomes readable in time.
bool wait_readable(int fd, std::chrono::milliseconds limit = std::chrono::seconds(10));

/// A gantryd that was started by a keeper under test: its pid, and duplicates of what it was
/// given, so that the test speaks in its name.
class fake {
public:
  fake() = default;
  fake(int connection, io::keeper_packet hello);
  fake(fake&&) noexcept;
  fake& operator=(fake&&) noexcept;
  ~fake();

  [[nodiscard]] explicit operator bool() const noexcept { return pid > 0; }
  void send(const wire::message& what, std::vector<int> fds = {}) const;
  [[nodiscard]] io::keeper_packet receive() const; ///< Waits for it.
  /// Everything on the shelf; the test owns the descriptors.
  [[nodiscard]] std::vector<io::keeper_packet> list() const;
  /// Has it make an orphan ("exit N", "signal N", "wait", "many N"); the last one's pid.
  [[nodiscard]] pid_t orphan(const std::string& how) const;
  void end(int code) const;
  void kill(int sig) const;
  /// Waits for the keeper's news and takes them.
  [[nodiscard]] bool news() const;
  /// The entry of this pid in the table of the dead, waited for.
  [[nodiscard]] io::dead_entry* dead(pid_t pid) const;

  pid_t pid = -1;
  [[nodiscard]] int arena_fd() const noexcept { return arena_fd_; }

  int socket = -1, news_fd = -1;
  io::arena memory;

private:
  int connection_ = -1, arena_fd_ = -1;
  std::span<std::byte> bytes_;
};

/// A keeper process, in a directory of its own. Ends with the test.
class keeper_process {
public:
  struct how {
    std::vector<std::string> options{"--back-off", "0"};
    std::vector<std::string> program; ///< Empty: the fake, serving this test.
    std::function<void()> before_exec;
    bool launch = false; ///< By fake's `become_supervised`, with a control socket.
    bool bare = false;   ///< Only the keeper, with a control socket and nothing to run.
    bool apart = false;  ///< As `launch`, and `pid` is the proxy of a keeper apart.
  };
  keeper_process();
  explicit keeper_process(how h);
  ~keeper_process();

  /// The next gantryd that the keeper starts; empty if none comes in time.
  [[nodiscard]] fake next(std::chrono::milliseconds limit = std::chrono::seconds(10)) const;
  /// Starts another process as a user would: `fake launch`.
  [[nodiscard]] pid_t launch() const;
  /// Its raw wait status, waited for; -1 if it does not end in time.
  [[nodiscard]] int status(std::chrono::milliseconds limit = std::chrono::seconds(10));

  pid_t pid = -1;
  std::string directory;

private:
  [[nodiscard]] std::vector<std::string> launch_words() const;
  int listener_ = -1;
  bool apart_ = false;
};

/// A raw wait status of a child, waited for; -1 if it does not end in time.
int wait_status(pid_t pid, std::chrono::milliseconds limit = std::chrono::seconds(10));

/// Value of a line `NAME: VALUE` of a /proc file.
std::string proc_line(pid_t pid, const std::string& file, const std::string& name);
long proc_number(pid_t pid, const std::string& file, const std::string& name);

} // namespace gantry::keeper_tests
