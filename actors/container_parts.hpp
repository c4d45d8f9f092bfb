#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/process.hpp"
#include "actors/services.hpp"
#include "messages/actors.hpp"
#include "runtime/health_policy.hpp"

// What the state of a container's actor is made of.

namespace gantry::actors {

/// The process that the container lives and dies with.
inline const std::string init{runtime::init_id};

/// A client's request that waits for its answer.
template <class Reply>
using pending = caf::typed_response_promise<Reply>;

/// One process of a container, as its actor sees it.
struct process_entry {
  process_actor actor;
  io::process_key key;
  uint64_t serial = 0;
  uint32_t run = 0; ///< Of the container, in which it was made.
  bool made = false;  ///< The runtime has answered.
  bool started = false; ///< Init: the runtime's start has answered.
  bool ended = false; ///< Its exit is settled.
  bool discard = false; ///< It never ran: its log goes with it.
  // Of an exec. Timers, not delayed messages: those would hold the actor when gantryd goes away.
  std::unique_ptr<io::timer> overdue; ///< Its time, or its patience with SIGTERM.
  std::unique_ptr<io::timer> unheld;  ///< For somebody to come and hold it.
};

/// A run's health, while there is one.
struct caring {
  runtime::health_policy policy;
  runtime::health_state state;
  std::unique_ptr<io::timer> timer; ///< To the next probe.
  int64_t due_ns = 0;               ///< What it waits for.
  std::map<size_t, std::vector<pending<v1::RunProbeReply>>> asked; ///< By probe.
};
/// Why the supervisor stops a container by itself.
struct stop_reason {
  std::string reason = {};
  bool final = false; ///< No policy starts it again.
  uint64_t cause = 0;
};

/// INTERNAL to container_health.cpp: the beginning of a probe's output, being read.
struct probe_reading;

} // namespace gantry::actors
