#pragma once

#include <memory>
#include <optional>

#include "actors/services.hpp"
#include "messages/actors.hpp"

namespace gantry::actors {

/// State of the TERMINATOR actor: ask, wait a named grace, go on, report what is left.
class terminator_state {
public:
  terminator_actor::stateful_pointer<terminator_state> self = nullptr;
  services* host = nullptr;
  supervisor_actor supervisor;
  recorder_actor recorder;

  static inline const char* name = "terminator";

  caf::result<atom::shutdown> shutdown(bool stop_containers);
  void on_grace();

private:
  void stopped_one();
  void end_actors();

  size_t stopping_ = 0;
  bool ending_ = false;
  std::optional<caf::typed_response_promise<atom::shutdown>> promise_;
  std::unique_ptr<io::timer> grace_;
};

terminator_actor::behavior_type
terminator(terminator_actor::stateful_pointer<terminator_state> self, services* host,
           supervisor_actor supervisor, recorder_actor recorder);

} // namespace gantry::actors
