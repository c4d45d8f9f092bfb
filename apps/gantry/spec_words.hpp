#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/gantry.pb.h"
#include "messages/result.hpp"

// The small languages within docker's options.

namespace gantry::cli {

/// `HOST:TARGET[:ro,rshared,…]` of -v.
result<v1::Mount> parse_volume(std::string_view text);

/// `type=bind,source=…,target=…,readonly` of --mount; fields may stand in CSV's quotes.
result<v1::Mount> parse_mount(std::string_view text);

/// `TARGET[:size=64m,exec,…]` of --tmpfs.
result<v1::Mount> parse_tmpfs(std::string_view text);

/// `nofile=1024:2048`; one number is both; -1: no limit.
result<v1::Rlimit> parse_ulimit(std::string_view text);

/// `/dev/kvm[:/dev/inside][:rw]`.
result<v1::Device> parse_device(std::string_view text);

/// `/dev/sda:1m` or `/dev/sda:100`, the number in the unit that `parse` knows.
result<std::pair<std::string, uint64_t>>
parse_device_rate(std::string_view text, result<int64_t> (*parse)(std::string_view));

/// Lays `seccomp=FILE`, `no-new-privileges`, `apparmor=NAME`, `label=…` and their like over
/// `to`. `key:value`, docker's old way to write it, too.
/// @param read Reads a file on this side: the text, or an error that names it.
result<void> add_security(std::string_view text,
                          const std::function<result<std::string>(const std::string&)>& read,
                          v1::Security& to);

/// Lines of an environment file: `KEY=VALUE` as it is (no quotes, no escapes), `KEY` alone for
/// our own variable, # comments and empty lines. A byte order mark and white space in front
/// of a line are passed over.
/// @param ours Looks up our own variable; null where there is none.
/// @param file For the error, which names file and line.
result<std::vector<std::string>>
parse_env_file(std::string_view text, const std::string& file,
               const std::function<const char*(const std::string&)>& ours);

} // namespace gantry::cli
