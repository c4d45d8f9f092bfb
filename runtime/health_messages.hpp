#pragma once

#include "messages/journal.pb.h"
#include "runtime/health_policy.hpp"
#include "runtime/world.hpp"

// Health as it travels and as it is kept, and the plain data that decides.

namespace gantry::runtime {

/// A policy as a client says it, checked: what is absent is as the profile has it. A notify socket
/// is one more probe of it.
result<health_policy> health_policy_of(const v1::ContainerSpec& spec);

/// A probe runs as a process with such an id, which no client can choose.
std::string probe_process(probe_role role);
bool is_probe_process(std::string_view process) noexcept;

/// The health of the run that is, as the records know it.
health_state health_state_of(const container_view& c, const health_policy& policy);

/// The record of a result that `end_probe` has taken.
journal::ProbeEnded probe_ended(const health_policy& policy, const health_state& now, size_t which,
                                health_status from, bool was_ready);

/// For the bus.
v1::Health health_message(const health_policy& policy, const health_state& state);

} // namespace gantry::runtime
