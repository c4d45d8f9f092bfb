#pragma once

#include <memory>

#include "runtime/probe_talk.hpp"

namespace gantry::runtime {

/// Asks the health service of gRPC (grpc.health.v1, Check) over HTTP/2: SERVING passes.
/// @param q Of kind grpc or grpcs, checked.
std::unique_ptr<probe_talk> grpc_talk_of(const probe_question& q);

} // namespace gantry::runtime
