#pragma once

#include <cstddef>

namespace gantry::daemon {

/// Gives the pages of code and constants that the start has touched back to the page cache;
/// what is needed again comes back by minor faults, 64 KiB at a time. Of an idle daemon's
/// resident memory that is the largest part: libraries are read through once (relocation,
/// registration of messages and types) and hardly after.
/// @returns how many bytes of mappings were gone through.
size_t give_back_start_memory() noexcept;

} // namespace gantry::daemon
