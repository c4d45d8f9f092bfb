#pragma once

#include <nlohmann/json.hpp>

namespace gantry::runtime {

/// linux.seccomp of a container that gantry writes the config for: an allow list for the
/// host's own architecture, made once.
const nlohmann::json& default_seccomp();

} // namespace gantry::runtime
