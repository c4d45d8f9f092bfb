#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "messages/result.hpp"

namespace gantry::runtime {

/// linux.seccomp of a container that gantry writes the config for: an allow list for the
/// host's own architecture, made once.
const nlohmann::json& default_seccomp();

/// linux.seccomp from a client's profile: of the OCI as it is, of Docker with what is meant
/// for this architecture, kernel and set of capabilities.
/// @param agent Socket of the agent that SCMP_ACT_NOTIFY asks; may be empty.
/// @param capabilities process.capabilities.bounding, for includes and excludes; null: none.
/// @returns An error that names the place in the profile.
result<nlohmann::json> seccomp_of(const std::string& profile, const std::string& agent,
                                  const nlohmann::json* capabilities);

} // namespace gantry::runtime
