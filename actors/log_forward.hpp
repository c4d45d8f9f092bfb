#pragma once

#include <memory>
#include <string>

#include "actors/stdio.hpp"
#include "io/log_reader.hpp"

namespace gantry::actors {

/// Where the lines of a log go besides its files.
struct forward_target {
  enum class kind : uint8_t { none, journald, syslog } what = kind::none;
  std::string path; ///< A unix datagram socket.
};

/// Reads `journald`, `syslog`, and either with `:/PATH` behind it; empty is none.
result<forward_target> parse_forward(const std::string& text);

/// Sends what a log holds to journald or to a syslog daemon, line by line, from the log's own
/// files: a sink that is slow or away keeps nobody back, and what was sent stands in a file beside
/// the log, so that a crash loses nothing; what was sent in its last moments may be sent twice
/// (journald gets GANTRY_LOG_SEQ to tell).
///
/// One for each log that wants it; it goes when its process has exited and all is sent. Loop's
/// thread.
class log_forward {
public:
  /// Begins, or goes on where an earlier life stood. Nothing where `log` asks for none.
  static void start(services& host, const process_names& who, const v1::LogOptions& log);
};

/// One datagram of journald's native protocol.
std::string journal_datagram(const process_names& who, const io::log_piece& piece,
                             std::string_view text, bool partial);

/// One datagram of a local syslog daemon: priority, local time, tag, text.
std::string syslog_datagram(const process_names& who, const io::log_piece& piece,
                            std::string_view text);

} // namespace gantry::actors
