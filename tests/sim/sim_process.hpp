#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/kernel.hpp"
#include "tests/sim/sim_pipes.hpp"
#include "tests/sim/sim_random.hpp"

namespace gantry::sim {

class machine;
struct process;

/// What a process does: scripted, driven by the machine's clock.
class program {
public:
  virtual ~program() = default;
  /// exec(2) has happened.
  virtual void start(process& self) = 0;
  /// A signal other than SIGKILL has come. True if the program took it; else the default
  /// action follows (none for the init of a pid namespace).
  virtual bool on_signal(process& /*self*/, int /*sig*/) { return false; }
  /// True while not even SIGKILL ends it (state D).
  [[nodiscard]] virtual bool uninterruptible() const { return false; }
  /// What it waited for has come.
  virtual void unstick() {}
};

/// A pid namespace: its init is visible as dead only when everybody else in it was reaped.
struct pid_namespace {
  std::weak_ptr<process> init;
  int members = 0; ///< Not reaped yet, init left out.
};

/// A process of the simulated host. `source::tell` is called when it ends and when it is
/// reaped.
struct process : source, std::enable_shared_from_this<process> {
  enum class phase : uint8_t { alive, dying, zombie, reaped };

  process(machine& m, pid_t number, uint64_t ticks);
  ~process() override;

  machine& host;
  const pid_t pid;
  const uint64_t start_ticks;
  std::weak_ptr<process> parent;
  phase at = phase::alive;
  int wait_status = 0;
  std::vector<std::string> argv, env;
  std::map<int, description_ptr> fds;
  std::string cgroup = "/";           ///< Path of the control group.
  std::shared_ptr<struct group> in;   ///< The group itself.
  std::shared_ptr<pid_namespace> ns; ///< Null: the host's.
  bool ns_init = false;
  bool goes_on = false; ///< It was restored from images.
  std::unique_ptr<program> body;
  std::array<std::shared_ptr<pipe>, 3> streams; ///< What was its stdio, kept for the checks.

  [[nodiscard]] bool alive() const noexcept { return at == phase::alive; }
  [[nodiscard]] bool frozen() const;
  [[nodiscard]] dice& rng() const;

  /// Runs `f` after this much time of its own; never once it is dead, later while frozen.
  void after(nanoseconds span, std::function<void()> f);
  /// Writes everything, blocking as a program does; `then` hears whether it went out. A pipe
  /// without readers ends the process by SIGPIPE.
  void write_all(int fd, std::string bytes, std::function<void()> then);
  /// Reads at most `most` bytes from a pipe, waiting for them; empty at the end of file.
  void read_some(int fd, size_t most, std::function<void(std::string)> then);

  void exit(int code);
  void die_of(int sig, bool core = false);
  /// Gives a signal to the process, now. Only for the machine.
  void take_signal(int sig);
  /// Goes on after a freeze, or after an uninterruptible step. Only for the machine.
  void go_on();
  /// Closes everything and forgets what it was about to do. Only for the machine.
  void cut();

private:
  class blocked;
  void try_again(blocked& b);

  std::deque<std::function<void()>> deferred_;
  std::vector<int> pending_;
  std::vector<std::unique_ptr<blocked>> blocked_;
};
using process_ptr = std::shared_ptr<process>;

/// A pidfd.
class pid_handle final : public description {
public:
  explicit pid_handle(process_ptr p) : process_(std::move(p)) {}
  [[nodiscard]] uint32_t ready() const override;
  [[nodiscard]] source* changes() const override { return process_.get(); }
  [[nodiscard]] const process_ptr& who() const noexcept { return process_; }

private:
  process_ptr process_;
};

} // namespace gantry::sim
