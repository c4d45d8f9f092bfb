#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/arena.hpp"
#include "io/kernel.hpp"
#include "runtime/journal.hpp"

// INTERNAL to runtime/journal*.cpp.

namespace gantry::runtime {

/// One segment file as the journal keeps it in mind.
struct segment_info {
  uint64_t first_seq = 0;
  uint64_t epoch = 0;
  int64_t created_ns = 0;
  uint64_t bytes = 0; ///< Up to the end of its last good record.
};

/// Where a recovery left everything.
struct recovered {
  std::vector<segment_info> segments; ///< Oldest first.
  std::vector<uint64_t> snapshots;    ///< Valid ones or not looked at, oldest first.
  uint64_t last_seq = 0;
  uint64_t flushed_seq = 0; ///< The last one that is on disk.
  uint64_t epoch = 0;
  bool go_on = false; ///< The last segment is written on; else a new one begins.
};

/// What a recovery needs and to whom it tells what it finds.
struct recovery_input {
  io::kernel& sys;
  io::arena memory;
  std::string dir;
  std::string boot_id;
  std::function<void(journal::Snapshot)> snapshot;
  std::function<void(const journal::Record&)> record;
};

/// Reads everything, synchronously; sets the ring of the arena to where the disk stands.
/// Changes no file but leftovers of a half-made one.
result<recovered> recover(recovery_input in, recovery_report& report);

} // namespace gantry::runtime
