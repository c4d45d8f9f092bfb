#pragma once

namespace gantry::bus {

class grpc_call;

/// grpc.reflection.v1.ServerReflection/ServerReflectionInfo, and the same as v1alpha: a client
/// asks for services and their .proto files, as many times as it likes in one call. A client
/// that does not read its answers is not heard until it does.
void reflect(grpc_call& call);

} // namespace gantry::bus
