#pragma once

#include <vector>

#include "io/log_reader.hpp"
#include "messages/gantry.pb.h"

namespace gantry::actors {

/// Lets through what a reader of a log asked for: by time, by stream, by what a line holds. A
/// line is one that ends with a newline, or the last words; it may come in several pieces, which
/// wait here until it is known whether they go through.
class log_filter {
public:
  explicit log_filter(const v1::ReadLogRequest& req);

  /// Takes a piece; appends to `out` what is known to go through.
  void take(io::log_piece piece, std::vector<io::log_piece>& out);

  /// Nothing more comes: unfinished lines are judged as they are.
  void end(std::vector<io::log_piece>& out);

  /// A piece beyond the time that was asked for has come: nothing more goes through.
  [[nodiscard]] bool over() const noexcept { return over_; }

  /// Pieces wait: who is cut off now must begin at this place to miss none.
  [[nodiscard]] bool holds() const noexcept { return !held_[0].empty() || !held_[1].empty(); }

private:
  void take_line(io::log_piece piece, std::vector<io::log_piece>& out);
  void judge(std::vector<io::log_piece>& line, std::vector<io::log_piece>& out) const;

  int64_t since_ns_;
  int64_t until_ns_;
  std::string grep_;
  uint32_t stream_;
  bool over_ = false;
  std::vector<io::log_piece> held_[2]; ///< Of an unfinished line of each stream.
  size_t held_bytes_[2] = {0, 0};
};

} // namespace gantry::actors
