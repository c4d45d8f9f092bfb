#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "io/arena.hpp"

namespace gantry::keeper {

/// Start time in clock ticks since boot (field 22 of /proc/PID/stat), also of a zombie;
/// 0 if it cannot be read.
/// @param proc A descriptor of /proc.
uint64_t start_ticks(int proc, pid_t pid) noexcept;

/// Reaps the children of this process and writes them into the arena's table.
class dead_table {
public:
  /// @param proc A descriptor of /proc, @param news the eventfd that wakes gantryd.
  dead_table(io::arena memory, int proc, int news) noexcept;

  /// Reaps everybody who is dead. Each gets an entry in the table, only then it is reaped,
  /// and gantryd is woken. If the table is full the rest stay zombies, and the arena says so.
  /// @param gantryd Is reaped too, but its status goes to `status`.
  /// @returns true if `gantryd` was among them.
  bool reap(pid_t gantryd, int& status) noexcept;

private:
  io::dead_entry* free_entry() noexcept;
  bool bury(pid_t pid, int status, const rusage& used) noexcept;
  void tell() noexcept;

  io::arena memory_;
  int proc_;
  int news_;
  uint64_t position_; ///< Places gone past; ours, the header's copy is for the reader.
};

} // namespace gantry::keeper
