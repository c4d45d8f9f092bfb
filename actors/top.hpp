#pragma once

#include <vector>

#include "actors/services.hpp"

namespace gantry::actors {

/// The processes in a container's cgroup, as /proc shows them now; `most` of them at most. A few
/// small reads each.
std::vector<v1::TopProcess> processes_in(services& host, const runtime::container_view& c,
                                         size_t most = SIZE_MAX);

} // namespace gantry::actors
