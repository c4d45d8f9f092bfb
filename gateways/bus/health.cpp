#include "gateways/bus/health.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <optional>
#include <string>

#include "gateways/bus/grpc_call.hpp"
#include "gateways/bus/methods.hpp"

namespace gantry::bus {

namespace {

// message HealthCheckResponse { ServingStatus status = 1; }, as bytes: two messages of one
// field each are not worth a .proto of their own.
constexpr std::string_view serving{"\x08\x01", 2};
constexpr std::string_view service_unknown{"\x08\x03", 2};

/// The name in `message HealthCheckRequest { string service = 1; }`.
std::optional<std::string> service_in(std::string_view request) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(request.data()),
                                            int(request.size()));
  std::string service;
  while (const uint32_t tag = in.ReadTag()) {
    const bool ok =
      tag == 10 ? WireFormatLite::ReadString(&in, &service) : WireFormatLite::SkipField(&in, tag);
    if (!ok)
      return std::nullopt;
  }
  if (!in.ConsumedEntireMessage())
    return std::nullopt;
  return service;
}

bool is_served(std::string_view service) {
  if (service.empty())
    return true;
  for (const auto& m : all_methods())
    if (m.path.substr(1, m.path.rfind('/') - 1) == service)
      return true;
  return false;
}

const error broken{ec::invalid_argument, "the request is no HealthCheckRequest", ""};

} // namespace

void health_check(grpc_call& call, std::string_view request) {
  const auto service = service_in(request);
  if (!service)
    return call.fail(broken);
  if (!is_served(*service))
    return call.fail({ec::not_found, "no such service: " + *service, ""});
  call.push_bytes(serving);
  call.finish();
}

void health_watch(grpc_call& call, std::string_view request) {
  const auto service = service_in(request);
  if (!service)
    return call.fail(broken);
  // The state never changes while there is somebody to tell: the stream stays open.
  call.push_bytes(is_served(*service) ? serving : service_unknown);
}

} // namespace gantry::bus
