#pragma once

#include <string>

#include "apps/gantry/detach_keys.hpp"
#include "messages/gantry.pb.h"

namespace gantry::cli {

/// How we join a process's streams.
struct attach_plan {
  v1::Ref ref;
  std::string process;
  uint64_t instance = 0;
  bool input = false;       ///< Our stdin is the process's.
  bool close_stdin = false; ///< The end of our stdin is the end of its own.
  bool replay = false;      ///< From its first byte, not only from now.
  bool start = false;       ///< The container is created and waits: start it once we listen.
  std::string keys;         ///< What lets go of it, as the terminal sends it.
};

} // namespace gantry::cli
