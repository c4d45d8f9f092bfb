#pragma once

namespace gantry::bus {

class grpc_call;

/// gantry.v1.Processes/Attach: the first request opens, the rest is input and sizes.
void attach(grpc_call& call);

} // namespace gantry::bus
