#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/log_format.hpp"
#include "io/loop.hpp"
#include "messages/result.hpp"

namespace gantry::io {

/// A place in a log: which file, which byte of its (unpacked) content. Travels as an opaque
/// cursor, with what a reader that begins there cannot know: the lines that are unfinished.
struct log_place {
  uint64_t file_seq = 0; ///< 0: the oldest file that is there.
  uint64_t offset = 0;
  uint64_t line[2] = {0, 0}; ///< `log_piece::line` of the unfinished line of each stream; 0: none.
};

/// A piece of one stream, as it was written.
struct log_piece {
  uint8_t stream = 1; ///< 1 stdout, 2 stderr.
  int64_t time_ns = 0;
  std::string bytes;
  uint64_t seq = 0;  ///< Grows from piece to piece of a log; stays when files are rotated.
  uint64_t line = 0; ///< `seq` of the first piece of its line.
  log_place next;    ///< Behind it: who was cut off after it goes on from here.
};

/// Reads a process's log files through the ring, in order, across rotations, packed or not. Pull:
/// the caller asks for the next pieces when it can take them, so a slow reader costs nothing.
/// A piece is a record; of a raw log, what was written at once or a part of it.
class log_reader {
public:
  log_reader(loop& l, std::string dir, log_place from,
             log_format format = log_format::json_file);
  ~log_reader(); ///< A read in flight ends by itself, unheard.

  struct batch {
    std::vector<log_piece> pieces;
    log_place next;             ///< Where the batch ends: a cursor for a later reader.
    bool at_end = false;        ///< Nothing more is in the files now.
    uint64_t missing_files = 0; ///< Files that rotation removed unread: a stated loss.
  };

  /// Asks for up to about `max_bytes`; one call at a time. A torn or foreign record is an
  /// error of code data_loss that names file and offset; the next call goes on behind it.
  void next(size_t max_bytes, std::function<void(result<batch>)> f);

  struct impl;

private:
  std::shared_ptr<impl> impl_;
};

/// The place of the last `lines` records of a log, for `--tail`.
void find_tail(loop& l, std::string dir, uint64_t lines, std::function<void(result<log_place>)> f);

} // namespace gantry::io
