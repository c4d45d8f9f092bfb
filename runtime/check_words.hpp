#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/kernel.hpp"
#include "messages/gantry.pb.h"
#include "messages/result.hpp"

// What the checks of specs share among themselves and with the makers of OCI configs.

namespace gantry::runtime {

/// `FIELD: VALUE is not valid`, with a cure.
error bad(std::string_view field, std::string_view value, std::string_view cure);

/// Absolute, UTF-8, not too long.
result<void> check_path(std::string_view field, const std::string& path);

/// Empty, or an absolute path that stays out of /proc.
result<void> check_workdir(const std::string& path);

result<void> check_args(const google::protobuf::RepeatedPtrField<std::string>& args);
result<void> check_env(const google::protobuf::RepeatedPtrField<std::string>& env);

/// `CAP_NET_ADMIN` for itself and for `net_admin`; empty if there is no such capability.
std::string full_capability(std::string_view name);

/// Every capability, with CAP_.
std::vector<std::string> all_capabilities();

/// Further groups of a process, by number and by name.
result<void> check_groups(const google::protobuf::RepeatedField<uint32_t>& numbers,
                          const google::protobuf::RepeatedPtrField<std::string>& names);

/// `ALL` in its spellings.
bool is_all(std::string_view capability);

/// Mounts, capabilities, devices, sysctls, confinement and what they do to each other.
result<void> check_options(const v1::ContainerSpec& spec);

/// @param field Of the limits, for the error.
result<void> check_rlimits(std::string_view field,
                           const google::protobuf::RepeatedPtrField<v1::Rlimit>& limits);
/// The names of the capabilities in a mask as the kernel writes it (CapBnd of a status file).
std::vector<std::string> capabilities_in(uint64_t mask);

/// Whether an AppArmor profile can be used at all: the host must have AppArmor.
/// @param field Where it was asked for, for the error.
result<void> check_apparmor(io::kernel& k, std::string_view field, const std::string& profile);

/// CPU quota and period in microseconds, from `nano_cpus` where that is given; 0: not set.
int64_t quota_of(const v1::Resources& r) noexcept;
uint64_t period_of(const v1::Resources& r) noexcept;

/// Whether this is a name of getrlimit(2).
bool is_rlimit(std::string_view name) noexcept;

} // namespace gantry::runtime
