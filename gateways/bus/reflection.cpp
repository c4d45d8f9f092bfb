#include "gateways/bus/reflection.hpp"

#include "gateways/bus/grpc_call.hpp"
#include "gateways/bus/services.hpp"
#include "messages/reflection.pb.h"

namespace gantry::bus {

namespace {

namespace wire = reflection::v1;
namespace pb = google::protobuf;

void refuse(const error& why, wire::ServerReflectionResponse& out) {
  out.mutable_error_response()->set_error_code(grpc_status_of(why.code));
  out.mutable_error_response()->set_error_message(why.text());
}

void give(const pb::FileDescriptor* file, const std::string& asked,
          wire::ServerReflectionResponse& out) {
  if (file == nullptr)
    return refuse({ec::not_found, "no .proto file of the bus has \"" + asked + "\"",
                   "list the services first"},
                  out);
  for (auto& bytes : serialized(*file))
    out.mutable_file_descriptor_response()->add_file_descriptor_proto(std::move(bytes));
}

wire::ServerReflectionResponse answer_to(const wire::ServerReflectionRequest& request) {
  using r = wire::ServerReflectionRequest;
  wire::ServerReflectionResponse out;
  out.set_valid_host(request.host());
  *out.mutable_original_request() = request;
  const auto& files = service_files::all();
  switch (request.message_request_case()) {
    case r::kFileByFilename:
      give(files.named(request.file_by_filename()), request.file_by_filename(), out);
      break;
    case r::kFileContainingSymbol:
      give(files.declaring(request.file_containing_symbol()), request.file_containing_symbol(),
           out);
      break;
    case r::kFileContainingExtension:
      refuse({ec::not_found, "no message of the bus has extensions", ""}, out);
      break;
    case r::kAllExtensionNumbersOfType:
      if (files.message(request.all_extension_numbers_of_type()) == nullptr)
        refuse({ec::not_found, "no such message: " + request.all_extension_numbers_of_type(), ""},
               out);
      else // It has none: proto3 messages cannot be extended.
        out.mutable_all_extension_numbers_response()->set_base_type_name(
          request.all_extension_numbers_of_type());
      break;
    case r::kListServices:
      for (auto& name : service_names())
        out.mutable_list_services_response()->add_service()->set_name(std::move(name));
      break;
    case r::MESSAGE_REQUEST_NOT_SET:
      refuse({ec::invalid_argument, "the request asks for nothing that reflection has", ""}, out);
      break;
  }
  return out;
}

class questions final : public call_sink {
public:
  explicit questions(grpc_call& call) : call_(call) {}

  void take(std::string_view message) override {
    wire::ServerReflectionRequest request;
    if (!request.ParseFromArray(message.data(), int(message.size())))
      return call_.fail({ec::invalid_argument, "the request is no ServerReflectionRequest", ""});
    call_.push(answer_to(request));
    if (call_.queued() >= call_.host().policy.max_queued_bytes)
      call_.hold(true);
  }

  void end() override { call_.finish(); }

private:
  grpc_call& call_;
};

/// Asked when the answers have been read: the next questions may come.
class room final : public call_source {
public:
  explicit room(grpc_call& call) : call_(call) {}
  void ask() override { call_.hold(false); }

private:
  grpc_call& call_;
};

} // namespace

void reflect(grpc_call& call) {
  call.receive(std::make_unique<questions>(call));
  call.draw(std::make_unique<room>(call));
}

} // namespace gantry::bus
