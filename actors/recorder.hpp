#pragma once

#include <memory>

#include "actors/services.hpp"
#include "messages/actors.hpp"

namespace gantry::actors {

/// State of the RECORDER actor: what is beyond the bounds is recorded as forgotten, so that
/// the world, and every later recovery of it, stays small.
struct recorder_state {
  services* host = nullptr;
  bool sweep_due = false;
  std::unique_ptr<io::timer> expiry; ///< Armed for the oldest exec that ended; else off.
  std::unique_ptr<runtime::ledger::watch> watch;

  static inline const char* name = "recorder";

  void sweep(const recorder_actor& self);
};

recorder_actor::behavior_type recorder(recorder_actor::stateful_pointer<recorder_state> self,
                                       services* host);

} // namespace gantry::actors
