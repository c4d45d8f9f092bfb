#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "messages/gantry.pb.h"
#include "messages/result.hpp"

// Pieces of OCI configs that several makers share.

namespace gantry::runtime {

struct bundle_request;

nlohmann::json strings(const google::protobuf::RepeatedPtrField<std::string>& list);
nlohmann::json string_map(const google::protobuf::Map<std::string, std::string>& map);

/// process.capabilities with the same names in each set that counts.
nlohmann::json capability_sets(const nlohmann::json& names);

/// Puts `KEY=VALUE` entries over those that are there.
void merge_env(nlohmann::json& env, const google::protobuf::RepeatedPtrField<std::string>& over);

/// process.consoleSize; a size of 0 leaves what is there.
void set_console_size(nlohmann::json& process, const v1::TerminalSize& size);

/// Programs on a terminal look for TERM: xterm, unless it is set.
void add_term(nlohmann::json& env);

/// Whether the config gets gantry's own seccomp list: the config is ours, and the spec asks
/// for nothing else.
bool wants_default_seccomp(const v1::ContainerSpec& spec);

/// The limits of `over` in place of those of the same name.
nlohmann::json rlimits_over(nlohmann::json base,
                            const google::protobuf::RepeatedPtrField<v1::Rlimit>& over);

/// Lays the spec's mounts, capabilities, devices, sysctls, limits and confinement over a
/// config that is otherwise whole.
/// @returns An error where the config (a client's) has another shape than the OCI's.
result<void> lay_options(const bundle_request& req, nlohmann::json& config);

/// What systemd is to know of the container's scope, where it makes one: as annotations, which
/// both runtimes read.
void lay_scope(const bundle_request& req, nlohmann::json& config);

/// `make_config` without linux.seccomp, which is the same for all and large.
nlohmann::json config_without_seccomp(const bundle_request& req);

/// The text of a config.json; with `seccomp` the default one is put into its linux object.
std::string config_text(const nlohmann::json& config, bool seccomp);

/// Reads JSON from outside: the error says line and column. Nothing deeper than 100 levels.
result<nlohmann::json> parse_json(std::string_view text, std::string_view thing);

/// Whether `config` has `process` with what an OCI process must have.
result<void> check_config_process(const nlohmann::json& config);

} // namespace gantry::runtime
