#pragma once

#include <string>

namespace gantry::io {

// Files in memory that can be executed. They touch no disk; on any thread.

/// An empty one that may be sealed and executed (memfd_create(2), MFD_EXEC where the kernel knows
/// it), close-on-exec. @param name For /proc only. A negated errno: -EACCES where the host forbids
/// it (vm.memfd_noexec, kernel 6.3).
int executable_memory(const std::string& name);

/// Nobody can change it any more (F_SEAL_WRITE, GROW, SHRINK and SEAL). 0 or a negated errno.
int seal(int file);

/// Makes `path`, on a tmpfs, a link to our descriptor `file`, in the place of what was there:
/// whoever starts it runs what is in the file. 0 or a negated errno.
int link_to_descriptor(const std::string& path, int file);

} // namespace gantry::io
