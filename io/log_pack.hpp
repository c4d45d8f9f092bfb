#pragma once

#include <string>

#include "messages/result.hpp"

namespace gantry::io {

/// Packs a complete log file with zstd: writes FROM.zst.tmp.PID, renames it to FROM.zst, removes
/// FROM. Readers find the one or the other at any time. Blocks: for a process of its own, which
/// may be killed at any instruction and run again.
result<void> pack_log(const std::string& from);

} // namespace gantry::io
