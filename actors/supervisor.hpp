#pragma once

#include <map>

#include "actors/container.hpp"
#include "actors/services.hpp"
#include "messages/actors.hpp"

namespace gantry::actors {

/// State of the SUPERVISOR actor: who is where. Everything else stands in the world.
class supervisor_state {
public:
  supervisor_actor::stateful_pointer<supervisor_state> self = nullptr;
  services* host = nullptr;

  static inline const char* name = "supervisor";

  caf::result<v1::CreateReply> create(const v1::By& by, v1::CreateRequest req);

  /// Hands a request on to the container's actor.
  template <class Reply, class Request>
  caf::result<Reply> forward(const v1::By& by, const Request& req);

  void adopt();
  void gone(const std::string& ns, const std::string& id);
  caf::result<atom::shutdown> shutdown();

private:
  [[nodiscard]] result<container_actor> find(const v1::Ref& ref) const;

  std::map<runtime::container_name, container_actor> containers_;
  bool ending_ = false;
};

/// @param host Outlives the actor.
supervisor_actor::behavior_type
supervisor(supervisor_actor::stateful_pointer<supervisor_state> self, services* host);

} // namespace gantry::actors
