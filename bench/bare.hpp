#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/session.hpp"

namespace gantry::bench {

/// runc by hand, with the same configuration as gantry's containers: what the runtime costs
/// with nobody above it. This process becomes a sub-reaper, as the keeper is.
class bare_runtime {
public:
  /// @param like A container of gantry whose configuration is taken over.
  bare_runtime(session& s, const words& w, const container& like);
  ~bare_runtime();

  /// `run --detach`; the pid of init.
  int32_t run_detached(const std::string& id);
  /// Waits until a process that fell to us is dead, and reaps it.
  static void reap(int32_t pid);
  void remove(const std::string& id, bool force);
  /// Starts a foreground `run`; the pid of the command.
  int32_t begin_run(const std::string& id);
  /// `exec --detach --pid-file`; the pid of the process.
  int32_t exec(const std::string& id, const std::string& program);

private:
  int32_t spawn(std::vector<std::string> args);
  void run(std::vector<std::string> args);
  int32_t read_pid();

  std::string runtime_;
  std::string dir_;
};

} // namespace gantry::bench
