#pragma once

#include <cstdint>

#include "io/arena.hpp"
#include "tests/sim/sim_random.hpp"

namespace gantry::sim {

/// Chances, per request or call, that the world misbehaves. All zero: a kind world.
struct fault_options {
  double emfile = 0;       ///< No descriptor left: open, pipe, eventfd, pidfd_open, spawn.
  double no_pidfd = 0;     ///< Of these, pidfd_open alone.
  double in_exec = 0;      ///< A process has no environment: it is in the middle of its exec.
  double spawn_again = 0;  ///< fork(2) says EAGAIN.
  double interrupted = 0;  ///< A request ends with EINTR.
  double again = 0;        ///< openat2 beneath a directory says EAGAIN (a rename went on).
  double short_write = 0;  ///< A file write takes only a part.
  double short_read = 0;   ///< A file read gives only a part.
  double no_space = 0;     ///< ENOSPC for a write, a create, a mkdir.
  double disk_error = 0;   ///< EIO for a write or fdatasync.
  double slow_disk = 0;    ///< A disk request takes 50 to 500 ms.
  double runtime_fails = 0; ///< The OCI runtime answers with an error.
  double runtime_hangs = 0; ///< … never ends by itself.
  double runtime_dies = 0;  ///< … is killed by a signal half way.
  double delete_fails = 0;  ///< … does not delete a container that it knows (or half knows).
};

/// A machine that breaks a promise by itself: the checks must notice. For their canary.
enum class broken : uint8_t {
  nothing,
  a_byte,   ///< A read from a pipe swallows a byte.
  a_status, ///< The keeper writes down a wrong status.
  a_death,  ///< The keeper reaps without a word.
  a_file,   ///< The runtime leaves a file behind at a delete.
};

/// What the simulated host is like.
struct machine_options {
  uint64_t seed = 1;
  bool hybrid = false;        ///< cgroup v1 controllers beside a bare v2 hierarchy; else pure v2.
  bool pidfd_hangs_up = true; ///< A reaped pidfd polls POLLHUP too (6.18; not on 6.1).
  bool pidfd_status = false;  ///< PIDFD_INFO_EXIT is there (6.15).
  bool kernel_log = false;    ///< /dev/kmsg can be read, and tells whom the OOM killer has killed.
  int pid_max = 32768;
  int fd_limit = 1024;
  io::arena_shape shape{.dead_entries = 64,
                        .log_slots = 64,
                        .journal_bytes = 128u << 10,
                        .small_block_bytes = 4u << 10,
                        .small_blocks = 40,
                        .large_block_bytes = 16u << 10,
                        .large_blocks = 4};
  fault_options faults;
  broken canary = broken::nothing;
};

} // namespace gantry::sim
