#pragma once

#include <string>

#include "messages/gantry.pb.h"

namespace gantry::cli {

// The JSON objects of the command line: every one on one line, names in snake_case and in
// a fixed order, 64-bit numbers as numbers, times in RFC 3339 with nanoseconds. A field
// that says "nothing" is null. Fields are only ever added.

std::string to_json(const v1::Event& e);
std::string to_json(const v1::Exit& x);
std::string to_json(const v1::Container& c);
std::string to_json(const v1::Health& h);
std::string to_json(const v1::ProbeResult& r);
std::string to_json(const v1::Evidence& e);
std::string to_json(const v1::ContainerDetail& d);
std::string to_json(const v1::Stats& s, bool raw);
std::string to_json(const v1::TopProcess& p);
std::string to_json(const v1::InfoReply& i);
std::string to_json(const v1::ContainerSpec& s);
std::string to_json(const v1::DiskUseReply& x);
std::string to_json(const v1::VersionReply& v);

/// `running`, `stopped`, …: the words of the design.
std::string state_text(v1::State s);

} // namespace gantry::cli
