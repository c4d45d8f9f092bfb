#pragma once

#include <string_view>

namespace gantry::bus {

class grpc_call;

/// grpc.health.v1.Health/Check: SERVING for "" and for every service of the bus,
/// otherwise NOT_FOUND. A supervisor that answers at all is serving: its loop turns.
void health_check(grpc_call& call, std::string_view request);

/// grpc.health.v1.Health/Watch: the same as a stream that stays open; a service that is
/// not known is SERVICE_UNKNOWN there. When the supervisor goes away: NOT_SERVING.
void health_watch(grpc_call& call, std::string_view request);

} // namespace gantry::bus
