#pragma once

#include <functional>
#include <string>
#include <vector>

#include "actors/services.hpp"
#include "messages/journal.pb.h"

namespace gantry::actors {

/// A hook of a container's ladder: by the seq of the record of its step.
struct hook_name {
  runtime::container_name container;
  uint64_t number = 0;
  std::string program;
};

/// Told what is to be recorded of a hook: `hook_began` at once, `hook_ended` once. On the loop.
using hook_teller = std::function<void(journal::Record)>;

/// Runs a program of the host, as gantryd's own user, with nothing but `env`, a mark and /dev/null.
/// After the time that the options say, it is killed with all that it started: it has a cgroup of
/// its own, which limits nothing, beside its container's.
void run_hook(services& host, hook_name who, std::vector<std::string> env, hook_teller tell);

/// Follows one that an earlier life has begun, or was about to.
/// @param known Its process, as far as it was recorded; pid 0: it was not.
void adopt_hook(services& host, hook_name who, io::process_key known, hook_teller tell);

/// A cgroup of a hook was found, in which there may be processes: they have what is left of the
/// time.
/// @param group Its name below the namespace's.
void guard_hook(services& host, const std::string& ns, const std::string& group);

/// They go on, and the next life follows them. For an orderly end.
void leave_hooks(services& host);

/// Whether a cgroup of this name, below a namespace's, is a hook's: no container has such a name.
bool is_hook_group(std::string_view group) noexcept;

} // namespace gantry::actors
