#include "gateways/bus/health.hpp"

#include <algorithm>

#include "gateways/bus/grpc_call.hpp"
#include "gateways/bus/services.hpp"
#include "messages/health.pb.h"

namespace gantry::bus {

namespace {

using wire_request = health::v1::HealthCheckRequest;
using wire_response = health::v1::HealthCheckResponse;

bool parse(grpc_call& call, std::string_view bytes, wire_request& out) {
  if (out.ParseFromArray(bytes.data(), int(bytes.size())))
    return true;
  call.fail({ec::invalid_argument, "the request is no HealthCheckRequest", ""});
  return false;
}

bool is_served(const std::string& service) {
  const auto names = service_names();
  return service.empty() || std::binary_search(names.begin(), names.end(), service);
}

wire_response saying(wire_response::ServingStatus status) {
  wire_response out;
  out.set_status(status);
  return out;
}

} // namespace

void health_check(grpc_call& call, std::string_view request) {
  wire_request asked;
  if (!parse(call, request, asked))
    return;
  if (!is_served(asked.service()))
    return call.fail({ec::not_found, "no such service: " + asked.service(), ""});
  call.answer(saying(wire_response::SERVING));
}

void health_watch(grpc_call& call, std::string_view request) {
  wire_request asked;
  if (!parse(call, request, asked))
    return;
  call.when_stopping([](grpc_call& c) { c.push(saying(wire_response::NOT_SERVING)); });
  call.push(
    saying(is_served(asked.service()) ? wire_response::SERVING : wire_response::SERVICE_UNKNOWN));
}

} // namespace gantry::bus
