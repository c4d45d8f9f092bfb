#pragma once

#include <gantry/supervisor.hpp>

#include "messages/gantry.pb.h"

namespace gantry::library {

// The public structs and the words of the bus, each way.

v1::Ref to_bus(const container_ref& x);
v1::Resources to_bus(const resource_limits& x);
v1::ContainerSpec to_bus(const container_spec& x);
v1::ProcessSpec to_bus(const process_spec& x);
v1::TerminalSize to_bus(const terminal_size& x);
v1::ListRequest to_bus(const list_request& x);
v1::CheckpointRequest to_bus(const checkpoint_request& x);
v1::FollowRequest to_bus(const subscribe_options& x);

exit_report from_bus(const v1::Exit& x);
container_summary from_bus(const v1::Container& x);
process_summary from_bus(const v1::Process& x);
exec_result from_bus(const v1::ExecSyncReply& x);
container_detail from_bus(const v1::ContainerDetail& x);
usage_report from_bus(const v1::Stats& x);
host_process from_bus(const v1::TopProcess& x);
version_report from_bus(const v1::VersionReply& x);
supervisor_report from_bus(const v1::InfoReply& x);
container_list from_bus(const v1::ListReply& x);
checkpoint_summary from_bus(const v1::Checkpoint& x);
disk_report from_bus(const v1::DiskUseReply& x);
event from_bus(const v1::Event& x);

/// A request id that nobody else has: 128 random bits.
std::string fresh_request_id();

} // namespace gantry::library
