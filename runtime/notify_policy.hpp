#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "messages/gantry.pb.h"
#include "messages/journal.pb.h"
#include "messages/result.hpp"
#include "runtime/notify_message.hpp"

// What a container's words at its notify socket make of it: plain data and plain functions. All
// times are nanoseconds of one clock that nobody sets (CLOCK_MONOTONIC).

namespace gantry::runtime {

/// What a spec says of it.
struct notify_policy {
  int64_t watchdog_ns = 0;      ///< 0: none.
  int64_t start_timeout_ns = 0; ///< 0: no limit.
  int64_t extend_max_ns = 300'000'000'000;
  bool init_only = false; ///< Only init is heard.
  bool operator==(const notify_policy&) const = default;
};

/// Where one run is.
struct notify_state {
  bool ready = false;
  bool reloading = false;
  bool stopping = false;
  bool in_grace = false; ///< Somebody stops it: the deadline is the end of its grace.
  std::string status;
  int64_t watchdog_ns = 0;
  int64_t due_ns = 0;   ///< Of a start, a watchdog or a stop; 0: it has all the time.
  int64_t limit_ns = 0; ///< Beyond this nothing puts it off.
  uint64_t datagrams = 0;
  uint64_t refused = 0;
  uint64_t ignored = 0;
  bool operator==(const notify_state&) const = default;
};

/// What follows from a message.
struct notify_step {
  std::string what;      ///< The event: ready, reloading, reloaded, stopping; empty: none.
  bool told = false;     ///< Something that people see has changed.
  bool alive = false;    ///< It has fed its watchdog.
  bool triggered = false; ///< It calls itself ill.
  bool put_off = false;  ///< The deadline was put off by its wish.
};

/// A run has begun.
notify_state begin_notify(const notify_policy& policy, int64_t now_ns);

/// It has said something. While it is being stopped only its status and the wish for more time
/// matter: the deadline is that of `begin_grace`.
notify_step hear(const notify_policy& policy, notify_state& state, const notify_message& m,
                 int64_t now_ns);

/// Its time is over: the reason for people. The next deadline is as far away as this one was.
std::string miss_deadline(const notify_policy& policy, notify_state& state, int64_t now_ns);

/// It goes on after a pause: its deadline begins anew.
void thaw_notify(const notify_policy& policy, notify_state& state, int64_t now_ns);

/// It is being stopped, and has so long.
void begin_grace(const notify_policy& policy, notify_state& state, int64_t grace_ns,
                 int64_t now_ns);

/// Words that only feed a watchdog are recorded when the recorded deadline is off by this part of
/// its time: a record for each would be the larger part of the journal.
inline constexpr int64_t kept_part = 4;
/// Whether the deadline must be recorded anew. @param kept_ns As it was recorded last.
bool must_be_kept(const notify_state& state, int64_t kept_ns) noexcept;
/// What was recorded may be older than what was heard: by so much is the deadline put off.
void make_up_for(notify_state& state) noexcept;

// Words and records (notify_words.cpp).

/// Checks what the spec says. Absent: it has no notify socket.
result<std::optional<notify_policy>> notify_policy_of(const v1::ContainerSpec& spec);

/// Without a deadline it begins anew: see `thaw_notify`.
notify_state notify_state_of(const notify_policy& policy, const journal::NotifyNow& kept,
                             int64_t now_ns);
journal::NotifyNow kept_notify(const notify_state& state);

/// For the bus. @param clock_ns What is to be added for a time of the wall clock.
v1::NotifyState notify_message_of(const notify_state& state, int64_t clock_ns);

} // namespace gantry::runtime
