#pragma once

#include <string>
#include <vector>

#include "apps/gantry/options.hpp"

namespace CLI {
class App;
}

namespace gantry::cli {

/// What the words of the command line say, before numbers and sizes are understood.
struct raw_line {
  options out; ///< What needs no conversion is written here at once.

  std::string bundle, rootfs, workdir, user, hostname, network, runtime, stop_signal, stop_timeout;
  std::string memory, memory_swap, memory_reservation, cpus, cpu_shares, cpuset_cpus, cpuset_mems;
  std::string pids_limit, timeout, tail, format, after;
  std::string one; ///< The id of a verb that takes exactly one.
  std::vector<std::string> env, labels, annotations, log_opts, filters;
  bool read_only = false, interactive = false, remove = false, version = false;
  std::vector<std::string> command;
};

/// One verb, as help shows it.
struct verb_row {
  const char* verb;
  const char* group;
  const char* summary;
  const char* usage;  ///< Behind `gantry VERB`.
  const char* footer; ///< Examples and particulars; whole lines.
};

/// The verbs in the order of the help; ends with a row of nulls.
const verb_row* verb_rows();
const verb_row* verb_row_of(std::string_view verb);

/// Adds the options of `run`, `create`, `exec` and `update`.
void add_make_options(CLI::App& sub, const std::string& verb, raw_line& to);

/// Understands the strings of `raw`.
/// @returns An error that names the option.
result<options> convert(raw_line raw);

} // namespace gantry::cli
