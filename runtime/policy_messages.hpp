#pragma once

#include "messages/journal.pb.h"
#include "runtime/restart_policy.hpp"
#include "runtime/world.hpp"

// Policies as they travel and as they are kept, and the plain data that decides.

namespace gantry::runtime {

/// A container's policy as a client says it, not checked: what is absent is as by default. That
/// it is to be restarted when it is unhealthy is a part of it.
result<restart_policy> restart_policy_of(const v1::ContainerSpec& spec);

/// What the records remember for a container's restart policy.
journal::RestartState restart_state_of(const container_view& c);

/// The part of it that decides.
restart_history history_of(const journal::RestartState& state);

/// Whether the run that has ended is followed by another one that its policy begins, as far as
/// the records tell: it is scheduled, or is going to be.
bool awaits_restart(const container_view& c, int64_t now_ns);

/// How a container's last run ended; absent where it has none that a policy could ask about: it
/// was never started, or a person's start failed.
std::optional<run_end> last_end_of(const container_view& c);

} // namespace gantry::runtime
