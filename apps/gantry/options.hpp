#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "messages/gantry.pb.h"
#include "messages/result.hpp"

namespace gantry::cli {

/// A whole command line, understood and checked. One flat set: a verb uses what it has.
struct options {
  std::string verb;

  // Everywhere.
  std::string socket;
  std::string ns; ///< Empty: the daemon's default.
  bool json = false;
  bool no_color = false;

  // What to make.
  v1::ContainerSpec spec;
  v1::Resources resources;
  v1::ProcessSpec process_spec;
  std::string name; ///< Of the container or of the exec; empty: one is chosen.
  bool detach = false;
  bool interactive = false; ///< Our own stdin is passed on.
  bool sync = false; ///< Of `exec`: one call that collects the output.
  std::optional<uint64_t> head_bytes, tail_bytes; ///< … and how much of it.

  // Of attaching.
  bool no_stdin = false;
  bool replay = false;
  std::string detach_keys; ///< As a terminal sends them.

  // Of what exists.
  std::vector<std::string> ids;
  std::string process;
  std::string signal;
  bool all = false;
  bool tree = false;
  bool all_namespaces = false;
  bool quiet = false;
  bool force = false;
  bool full = false; ///< Nothing is cut short in tables.
  std::string format; ///< A template; empty: a table, or JSON with `json`.
  v1::ListFilter list_filter;
  bool no_stream = false;              ///< Of `stats` and `top`: once, also on a terminal.
  std::optional<int64_t> interval_ns;  ///< Of the same: again and again.
  std::optional<int64_t> timeout_ns;

  // Of streams.
  bool follow = false;
  bool list = false;
  bool timestamps = false;
  bool raw = false;
  uint64_t tail = 0;
  std::string since;
  std::optional<int64_t> since_ns; ///< A time; of `events`, where `since` is no cursor.
  std::optional<int64_t> until_ns;
  uint32_t stream = 0; ///< Of `logs`: 1 stdout, 2 stderr, 0 both.
  std::string grep;    ///< Of `logs`.
  v1::EventFilter filter;

  v1::CheckpointRequest checkpoint; ///< Of `checkpoint create`.
  std::string from_checkpoint;      ///< Of `start`: a name.
  std::string from_images;          ///< Of `start` and `run`: a directory.

  uint64_t after = 0;   ///< Of `journal`: a sequence number.
  bool repair = false;  ///< Of `journal`.
  std::string argument; ///< Of `journal` (a directory) and `completion` (a shell).
};

/// Text to print to stdout, and exit code 0: help, a version.
struct answer {
  std::string text;
};

/// Why the command line cannot be used, and the exit code for that.
struct usage_error {
  error why;
  int exit_code;
};

/// Understands a command line. Reads the environment: GANTRY_SOCKET, GANTRY_NAMESPACE, and
/// variables that `-e NAME` passes on.
std::variant<options, answer, usage_error> parse_command_line(int argc, const char* const* argv);

/// What shells need for completion.
struct verb_words {
  std::string verb;
  std::string summary;
  /// Name (`--tail`), whether it takes a value, and what it does.
  struct option {
    std::string name;
    bool takes_value;
    std::string summary;
    std::string values; ///< `dirs`, `files`, `signals`, `ids`, or words; empty: anything.
  };
  std::vector<option> options;
};
std::vector<verb_words> all_words();

inline constexpr std::string_view version_text = "0.1.0";

} // namespace gantry::cli
