#include "gateways/bus/services.hpp"

#include <algorithm>
#include <google/protobuf/descriptor.pb.h>

#include "gateways/bus/methods.hpp"
#include "messages/check.hpp"
#include "messages/gantry.pb.h"
#include "messages/health.pb.h"
#include "messages/reflection.pb.h"

namespace gantry::bus {

namespace {

namespace pb = google::protobuf;

/// ".old.X" becomes ".fresh.X".
void rename_type(std::string& type, std::string_view old, std::string_view fresh) {
  if (type.size() > old.size() + 1 && type.compare(1, old.size(), old) == 0)
    type.replace(1, old.size(), fresh);
}

void rename_fields(pb::DescriptorProto& message, std::string_view old, std::string_view fresh) {
  for (auto& f : *message.mutable_field())
    if (f.has_type_name())
      rename_type(*f.mutable_type_name(), old, fresh);
  for (auto& nested : *message.mutable_nested_type())
    rename_fields(nested, old, fresh);
}

/// A file of ours as another name knows it: the same messages in another package.
pb::FileDescriptorProto renamed(const pb::FileDescriptor& from, const std::string& file,
                                const std::string& package) {
  pb::FileDescriptorProto out;
  from.CopyTo(&out);
  const auto old = out.package();
  out.set_name(file);
  out.set_package(package);
  for (auto& message : *out.mutable_message_type())
    rename_fields(message, old, package);
  for (auto& service : *out.mutable_service())
    for (auto& method : *service.mutable_method()) {
      rename_type(*method.mutable_input_type(), old, package);
      rename_type(*method.mutable_output_type(), old, package);
    }
  return out;
}

void collect(const pb::FileDescriptor& file, std::vector<const pb::FileDescriptor*>& into) {
  if (std::find(into.begin(), into.end(), &file) != into.end())
    return;
  into.push_back(&file);
  for (int i = 0; i < file.dependency_count(); ++i)
    collect(*file.dependency(i), into);
}

} // namespace

std::vector<std::string> service_names() {
  std::vector<std::string> out;
  for (const auto& m : all_methods())
    out.emplace_back(m.path.substr(1, m.path.rfind('/') - 1));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

const service_files& service_files::all() {
  static const service_files one;
  return one;
}

service_files::service_files() {
  std::vector<const pb::FileDescriptor*> ours;
  collect(*v1::Ref::descriptor()->file(), ours);
  for (auto at = ours.rbegin(); at != ours.rend(); ++at) { // What is imported comes first.
    pb::FileDescriptorProto file;
    (*at)->CopyTo(&file);
    GANTRY_CHECK(pool_.BuildFile(file) != nullptr);
  }
  const auto& health = *health::v1::HealthCheckRequest::descriptor()->file();
  const auto& reflection = *reflection::v1::ServerReflectionRequest::descriptor()->file();
  for (const auto& file :
       {renamed(health, "grpc/health/v1/health.proto", "grpc.health.v1"),
        renamed(reflection, "grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"),
        renamed(reflection, "grpc/reflection/v1alpha/reflection.proto", "grpc.reflection.v1alpha")})
    GANTRY_CHECK(pool_.BuildFile(file) != nullptr);
}

const pb::FileDescriptor* service_files::named(const std::string& file) const {
  return pool_.FindFileByName(file);
}

const pb::FileDescriptor* service_files::declaring(const std::string& symbol) const {
  return pool_.FindFileContainingSymbol(symbol);
}

const pb::Descriptor* service_files::message(const std::string& name) const {
  return pool_.FindMessageTypeByName(name);
}

std::vector<std::string> serialized(const pb::FileDescriptor& file) {
  std::vector<const pb::FileDescriptor*> files;
  collect(file, files);
  std::vector<std::string> out;
  for (const auto* f : files) {
    pb::FileDescriptorProto proto;
    f->CopyTo(&proto);
    f->CopyJsonNameTo(&proto);
    out.push_back(proto.SerializeAsString());
  }
  return out;
}

} // namespace gantry::bus
