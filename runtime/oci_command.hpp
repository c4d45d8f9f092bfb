#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/loop.hpp"
#include "io/poll.hpp"
#include "io/reaper.hpp"
#include "runtime/engine.hpp"
#include "runtime/runtime_copy.hpp"

namespace gantry::runtime {

/// Children of a process, as far as the kernel tells (CONFIG_PROC_CHILDREN).
std::vector<int32_t> children_of(io::kernel& k, int32_t pid);

/// One call of the runtime's program, before it runs.
struct oci_call {
  std::string step; ///< create, start, exec, delete, update, version.
  std::string runtime;
  std::string id;
  std::vector<std::string> argv; ///< Whole, with argv[0].
  std::string log;               ///< Its --log file; empty if it has none.
  std::array<int, 3> stdio{-1, -1, -1}; ///< The container's; -1: /dev/null and a pipe of ours.
  bool keep_output = false; ///< The pipe takes stdout (version), else stderr.
  bool by_path = false;     ///< `runtime` is what is started, and no copy of it.
  uint64_t op = 0;
  io::nanoseconds deadline{};
  /// Called when the deadline has come, before the runtime is killed: empties what it made.
  std::function<void()> on_overdue;
};

/// How it ended.
struct oci_end {
  int spawn_error = 0; ///< A positive errno: it never began.
  io::exit_status status;
  bool overdue = false;      ///< Killed at its deadline.
  bool undead = false;       ///< … and does not die; it goes on as a process nobody waits for.
  int32_t pid = 0;
  std::string output;        ///< What came through the pipe, at most 16 KiB.
  uint64_t ticket = 0;       ///< Of the reaper; the one who handles the end gives it back.

  [[nodiscard]] bool fine() const noexcept {
    return spawn_error == 0 && !overdue && status.known && status.code == 0 && status.signal == 0;
  }
};

/// Runs calls, at most so many at a time, in order. A call that takes longer than
/// `patience` gives up its place, so that containers that are stuck delay nobody else.
class oci_commands {
public:
  using done = std::function<void(oci_end)>;

  oci_commands(io::loop& l, io::reaper& r, std::string runtime_root, engine_policy policy);
  ~oci_commands(); ///< What runs goes on, unwatched: `find_orphans` knows it later.

  /// False: the queue is full, and `f` will not be called.
  bool run(oci_call call, done f);

  /// Gives back the ticket of an end that was handled.
  void settled(const oci_end& end);

  [[nodiscard]] const engine_stats& stats() const noexcept { return stats_; }
  void count_failure() noexcept { ++stats_.failed; }

private:
  class running;
  struct waiting {
    oci_call call;
    done f;
  };

  void launch_some();
  void launch(waiting w);
  runtime_copy& copy_of(const std::string& program);
  void try_out(const std::string& program, const std::string& path,
               std::function<void(bool)> works);
  void start(const std::shared_ptr<running>& one, const std::string& path);
  int prepare_stdio(oci_call& call, io::fd& ours, io::fd& theirs);
  void ended(running* who, oci_end end);

  io::loop& loop_;
  io::reaper& reaper_;
  std::string runtime_root_;
  engine_policy policy_;
  engine_stats stats_;
  io::fd null_;
  bool launching_ = false;
  size_t busy_ = 0; ///< Places taken: running calls that have not become slow.
  std::deque<waiting> queue_;
  std::set<std::shared_ptr<running>> running_;
  std::map<std::string, std::unique_ptr<runtime_copy>> copies_; ///< By the program's path.
};

} // namespace gantry::runtime
