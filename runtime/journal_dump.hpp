#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/journal.pb.h"
#include "messages/result.hpp"

namespace gantry::runtime {

// Reads a journal's directory without a daemon (`gantry journal DIR`): plain blocking file
// access, for the command line alone. It may be used beside a running gantryd: it then shows
// what is on disk, which is all but the newest milliseconds.

/// What to print, and how.
struct dump_options {
  bool json = false;  ///< One JSON object a line, else text.
  uint64_t after = 0; ///< Only records behind this one.
};

/// What a dump or a repair has seen.
struct dump_report {
  uint64_t segments = 0;
  uint64_t records = 0;
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  uint64_t epoch = 0; ///< Of the newest segment.
  uint64_t torn_bytes = 0;       ///< At the end of the last segment: a start cuts them off.
  bool damaged = false;          ///< A start would refuse this journal.
  std::vector<std::string> said; ///< One line for each thing that is not as it should be.
};

/// Prints the records in order, one a line, by `out` (without the newline). Goes on behind
/// damage where records follow, and says in the report where each damage is. Fails only where
/// there is nothing to read.
result<dump_report> dump_journal(const std::string& dir, const dump_options& options,
                                 const std::function<void(std::string_view)>& out);

/// Makes a damaged journal startable, with gantryd stopped: each damaged file is first copied
/// to `damaged.NAME`, then holds its whole records, with a gap record where some are lost. A
/// snapshot that cannot be read is set aside. What was done stands in `said`. A whole journal
/// is not touched.
result<dump_report> repair_journal(const std::string& dir);

/// A record as one line of JSON: the fields of journal.proto by their own names, 64-bit
/// numbers as numbers, bytes in base64.
std::string record_json(const journal::Record& r);

/// A record as one line to read: seq, time, name, what it is, and its fields.
std::string record_text(const journal::Record& r);

} // namespace gantry::runtime
