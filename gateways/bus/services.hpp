#pragma once

#include <google/protobuf/descriptor.h>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::bus {

/// The names of the services that the bus has, each once, sorted.
std::vector<std::string> service_names();

/// The .proto files behind the services, under the names that clients know. Built at the first
/// use, of the methods that there are; lives as long as the process.
class service_files {
public:
  static const service_files& all();

  /// By the name that it is imported by; nullptr if there is none.
  [[nodiscard]] const google::protobuf::FileDescriptor* named(const std::string& file) const;

  /// The file that declares a service, method, message, field or enum; nullptr if none does.
  [[nodiscard]] const google::protobuf::FileDescriptor* declaring(const std::string& symbol) const;

  /// A message type; nullptr if there is none.
  [[nodiscard]] const google::protobuf::Descriptor* message(const std::string& name) const;

private:
  service_files();

  google::protobuf::DescriptorPool pool_;
};

/// `file` with all it imports, each serialised as a FileDescriptorProto, the file first.
std::vector<std::string> serialized(const google::protobuf::FileDescriptor& file);

} // namespace gantry::bus
