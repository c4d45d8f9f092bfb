#pragma once

#include <string>

#include "messages/gantry.pb.h"

namespace gantry::cli {

/// `"sh -c date"`: the words of a command, for a table.
std::string command_text(const google::protobuf::RepeatedPtrField<std::string>& words);

/// `Up 3 minutes`, `Exited (0) 2 minutes ago`, `Exited (SIGKILL, OOM) 5 days ago`, …
std::string container_state_text(const v1::Container& c, int64_t now_ns);

/// `0`, `SIGKILL`, `SIGKILL, OOM`, `unknown`: how a process ended.
std::string end_text(const v1::Exit& x);

/// One line for a person, without the newline.
std::string event_line(const v1::Event& e, bool colors);

/// `gantry info`, whole lines.
std::string info_text(const v1::InfoReply& i, int64_t now_ns);

/// gantryd's part of `gantry version`, whole lines.
std::string version_lines(const v1::VersionReply& v);

} // namespace gantry::cli
