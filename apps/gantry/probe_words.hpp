#pragma once

#include <string_view>

#include "messages/gantry.pb.h"
#include "messages/result.hpp"

namespace gantry::cli {

/// Whom a probe of a connection asks, as a URL of its kind or without that: `PORT`,
/// `ADDRESS:PORT`, `[V6]:PORT`, with `/PATH` behind it for http and https, and `/SERVICE` for grpc
/// and grpcs. Of http and https an address and a URL may be without a port: 80 and 443.
result<v1::Probe> parse_peer(std::string_view kind, std::string_view text);

/// A probe in one word: `http://:8080/path`, `https://:8443/path`, `tcp://:6379`,
/// `grpc://:9000/SERVICE`, `unix:/PATH`, `file:/PATH` or `exec:CMD`; behind it `,period=5s`,
/// `,timeout=1s`, `,initial-delay=3s`, `,failures=3`, `,successes=1`, `,status=200-299`,
/// `,host=NAME`, `,header=NAME: VALUE` and `,tls-ca=FILE`, whose name stands in the place of its
/// content. Kubernetes' names of numbers (`,periodSeconds=5`) are understood as well.
result<v1::Probe> parse_probe(std::string_view text);

/// What a command is: `["PROGRAM", "WORD"]` is started as it is, anything else by the container's
/// shell. Docker's forms of CMD and CMD-SHELL.
result<void> take_command(std::string_view text, v1::Probe& to);

/// `204` or `200-299`, for the statuses that pass.
result<std::pair<uint32_t, uint32_t>> parse_statuses(std::string_view text);

} // namespace gantry::cli
