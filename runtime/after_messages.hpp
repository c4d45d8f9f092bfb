#pragma once

#include <functional>
#include <vector>

#include "runtime/after_policy.hpp"
#include "runtime/world.hpp"

// What a container comes after, as it travels and as the records know it, and the plain data that
// decides.

namespace gantry::runtime {

/// The conditions of a spec, checked by themselves.
result<after_policy> after_policy_of(const v1::ContainerSpec& spec);

/// Whether a process with this pid and start time lives.
using is_alive_fn = std::function<bool(int32_t pid, uint64_t start_ticks)>;

/// What the records know of a container that another one comes after.
/// @param alive Asked about an init that the records have alive: after a boot it may not be, and
/// its end is on the way then. Empty: the records are believed.
dependency dependency_of(const world& w, const container_name& name, int64_t now_ns,
                         const is_alive_fn& alive = {});

/// How a start stands.
struct after_outlook {
  after_verdict::what is = after_verdict::what::met; ///< Of all conditions together.
  std::vector<v1::Unmet> unmet; ///< If one can never hold, that is the first.
};

/// @param name Of the container whose start is in question. @param since_ns See `judge_after`.
after_outlook look_ahead(const world& w, const container_name& name, const after_policy& policy,
                         int64_t since_ns, int64_t now_ns, const is_alive_fn& alive = {});

/// Why a start fails: a condition can never hold, or the time is over.
error never_starts(const container_name& name, const after_outlook& x);
error waited_too_long(const container_name& name, const after_outlook& x, int64_t timeout_ns);

/// Whether a new container may come after those of its spec: they exist, can do what is asked of
/// them, and do not come after it. With `start`, a condition that can never hold is refused, too,
/// and one that does not hold yet where that start `can_wait` for nothing.
result<void> check_dependencies(const world& w, const container_name& name,
                                const v1::ContainerSpec& spec, bool start, bool can_wait,
                                int64_t now_ns);

} // namespace gantry::runtime
