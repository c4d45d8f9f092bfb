#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// A place in a log: which file, which byte of the file. Travels as an opaque cursor.
struct log_place {
  uint64_t file_seq = 0; ///< 0: the oldest file that is there.
  uint64_t offset = 0;
};

/// A piece of one stream, as it was written.
struct log_piece {
  uint8_t stream = 1; ///< 1 stdout, 2 stderr.
  int64_t time_ns = 0;
  std::string bytes;
  log_place next; ///< Behind it: who was cut off after it goes on from here.
};

/// Reads a process's log files through the ring, in order, across rotations. Pull: the
/// caller asks for the next pieces when it can take them, so a slow reader costs nothing.
class log_reader {
public:
  log_reader(loop& l, std::string dir, log_place from);
  ~log_reader(); ///< A read in flight ends by itself, unheard.

  struct batch {
    std::vector<log_piece> pieces;
    log_place next;             ///< Where the batch ends: a cursor for a later reader.
    bool at_end = false;        ///< Nothing more is in the files now.
    uint64_t missing_files = 0; ///< Files that rotation removed unread: a stated loss.
  };

  /// Asks for up to about `max_bytes`; one call at a time. A torn or foreign record is an
  /// error of code data_loss that names file and offset.
  void next(size_t max_bytes, std::function<void(result<batch>)> f);

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

/// The place of the last `lines` records of a log, for `--tail`.
void find_tail(loop& l, std::string dir, uint64_t lines, std::function<void(result<log_place>)> f);

} // namespace gantry::io
