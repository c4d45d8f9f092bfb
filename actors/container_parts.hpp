#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/process.hpp"
#include "actors/services.hpp"
#include "io/held_poll.hpp"
#include "messages/actors.hpp"
#include "runtime/accounts.hpp"
#include "runtime/after_messages.hpp"
#include "runtime/pressure.hpp"
#include "runtime/probe_call.hpp"

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
  int64_t due_ns = 0; ///< What it waited for, once it has fired; until that is looked at.
  std::map<size_t, std::vector<pending<v1::RunProbeReply>>> asked; ///< By probe.
  bool limited = false; ///< The container has a CPU limit, which may be why a probe fails.
  std::map<size_t, uint64_t> throttled; ///< By probe: how much it had been when that began.
  /// Those that need no process; the last one of a probe stays while it hangs in the kernel.
  std::map<size_t, std::unique_ptr<runtime::probe_call>> calls;
  /// Of exec probes, where these are limited: from their turn to their result. Those whose turn
  /// has come and who have not begun stand in `granted` as well.
  std::map<size_t, runtime::permits::permit> turns;
  std::vector<size_t> granted;
  std::shared_ptr<int> waits = std::make_shared<int>(0); ///< For turns: whether they are wanted.
  /// What they brought, for the actor's next turn.
  std::deque<std::pair<size_t, result<runtime::probe_result>>> answers;
};

/// A run that is up and may speak at its notify socket.
struct notifying {
  notifying(services& h, uint64_t init_serial) : host(h), serial(init_serial) {
    host.notices[serial] = &state;
  }
  ~notifying() { host.notices.erase(serial); }
  notifying(const notifying&) = delete;
  notifying& operator=(const notifying&) = delete;

  services& host;
  uint64_t serial; ///< Of its init: the socket's.
  runtime::notify_policy policy;
  runtime::notify_state state;
  int number = -1;    ///< Of the socket; `poll` has it.
  io::held_poll poll; ///< For something to read.
  std::unique_ptr<io::timer> timer; ///< To the deadline, or to the end of a rest.
  int64_t kept_due_ns = 0; ///< The deadline as it was recorded last.
  int64_t turns_ns = 0;    ///< Credit for turns of reading: a flood is read at a bounded pace.
  int64_t turns_at_ns = 0; ///< When that was counted.
};

/// An exec under way.
struct exec_making {
  v1::ExecRequest request;
  v1::By by;
  std::optional<pending<v1::ExecReply>> promise;
  runtime::identity identity; ///< Looked up: what its spec says by name.
  new_streams streams;
  uint64_t op = 0;
};

/// A create (or a new run) under way.
struct making {
  v1::ContainerSpec spec;
  v1::By by;
  std::string request_id;
  bool run = false; ///< Create and start in one.
  bool fresh = false; ///< A new run of a stopped container.
  bool in_steps = false; ///< A create that starts in a second command.
  std::vector<pending<v1::CreateReply>> creates;
  std::vector<pending<v1::StartReply>> starts;
  new_streams streams;
  std::vector<std::string> args;
  uint64_t op = 0;
  bool durable = false;
  std::function<void()> when_durable;
  std::optional<error> failed;
  std::optional<journal::Restore> restore; ///< It goes on from these images.
  uint64_t cause = 0; ///< Of a restart: its schedule's.
  uint64_t waited = 0; ///< The seq of its wait for others.

  /// With a terminal its program runs when we have the master, and with `after` when that holds.
  /// What goes on from images runs at once.
  [[nodiscard]] bool two_steps() const {
    return run && (spec.terminal() || (!spec.after().empty() && !restore));
  }
};
/// A checkpoint under way.
struct dumping {
  v1::Checkpoint what;
  v1::By by;
  std::string request_id;
  uint64_t op = 0;
  uint64_t cause = 0; ///< Of its intent.
  io::nanoseconds timeout{0};
  std::optional<pending<v1::CheckpointReply>> promise;
};
/// A removal under way.
struct removing {
  std::vector<pending<v1::RemoveReply>> waiters;
  v1::By by;
  std::string request_id;
  uint64_t cause = 0;
  enum class step : uint8_t { end, runtime, processes, logs, cgroup, bundle } at = step::end;
  std::vector<uint64_t> logs;
  int cgroup_tries = 0;
};

/// A start that waits for others.
struct after_wait {
  runtime::after_policy policy;
  std::unique_ptr<runtime::ledger::watch> watch; ///< For records about them.
  std::unique_ptr<io::timer> timer;              ///< To the end of its time.
  bool asked = false; ///< It is going to be judged.
  bool late = false;  ///< Its time is over.

  [[nodiscard]] bool names(const std::string& id) const {
    return std::any_of(policy.conditions.begin(), policy.conditions.end(),
                       [&id](const auto& c) { return c.id == id; });
  }
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
