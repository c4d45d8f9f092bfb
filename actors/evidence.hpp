#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "actors/services.hpp"
#include "io/log_format.hpp"

// What is kept of a container before the supervisor ends it by itself. It lies beside the log of
// init, and goes with that.

namespace gantry::actors {

/// No file of one is larger.
inline constexpr size_t most_evidence_bytes = 64u << 10;

/// Of the evidence that the records know of a container: what is not too old, the oldest first.
std::vector<v1::EvidenceKept> known_evidence(const runtime::container_view& c, int64_t now_ns);

/// Removes the files of what has become too old, in all containers.
/// @returns when the next of them will be, by the clock on the wall.
std::optional<int64_t> remove_old_evidence(services& host);

std::string evidence_file(const std::string& log_dir, uint64_t number);

/// Captures the end of the log, processes, cgroup files and PSI of a container, and writes them
/// down. @param what Its number, time, run and reason.
/// @param f Called once, within a second, on the loop: `bytes` is 0 where nothing was written.
void capture_evidence(services& host, const runtime::container_view& c, v1::EvidenceKept what,
                      std::function<void(v1::EvidenceKept)> f);

} // namespace gantry::actors
