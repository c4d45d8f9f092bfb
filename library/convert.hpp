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
v1::RestartPolicy to_bus(const restart_policy& x);
v1::HealthCheck to_bus(const health_check& x);

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
restart_report from_bus(const v1::Restart& x);
health_report from_bus(const v1::Health& x);
pressure_state from_bus(const v1::PressureState& x);
ran_probe from_bus(const v1::RunProbeReply& x);
evidence from_bus(const v1::Evidence& x);

/// Of the bus's nanoseconds since 1970.
inline moment at(int64_t ns) { return moment{nanoseconds{ns}}; }

template <class Map>
std::map<std::string, std::string> map_of(const Map& x) {
  return {x.begin(), x.end()};
}

/// A request id that nobody else has: 128 random bits.
std::string fresh_request_id();

} // namespace gantry::library
