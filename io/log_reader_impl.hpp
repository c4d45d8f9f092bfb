#pragma once

#include "io/log_reader.hpp"
#include "io/log_source.hpp"

namespace gantry::io {

/// What reading the files of a log is, whatever their format: which file, when the next, what to
/// answer. Lives as long as an op of it is under way: the ops' callbacks hold it.
struct log_reader::impl : std::enable_shared_from_this<log_reader::impl> {
  impl(loop& l, std::string dir, const log_place& from);
  virtual ~impl() = default;

  void next(size_t max_bytes, std::function<void(result<batch>)> f);

  std::function<void(result<batch>)> f_;

protected:
  /// Goes on: the file is open, or to be opened.
  virtual void step() = 0;
  /// The file in hand is done with: what was read of it is forgotten.
  virtual void forget() = 0;
  /// A record is in hand that this file does not end any more.
  [[nodiscard]] virtual bool torn_end() const { return false; }

  void open_file();
  void opened(int32_t res);
  /// Nothing more is in this file now. If a later one was there before we looked, it is complete;
  /// a record without an end is torn then, and being written else.
  void file_ended();
  void go_to(uint64_t seq, uint64_t missing);
  /// Fills in what a piece is besides its bytes, and takes it.
  /// @param at Where it begins, @param after where it ends.
  void take(log_piece piece, uint64_t at, uint64_t after);
  void deliver(bool at_end);
  void fail(error why);
  void fail_read(int32_t res);
  /// The lowest number above `seq` that there is, 0 if none.
  result<uint64_t> file_after(uint64_t seq);
  [[nodiscard]] error torn(uint64_t at) const;
  /// Asks again in this file what came between our look and the new file.
  void look_once_more() { step(); }

  loop& loop_;
  std::string dir_;
  log_source file_;
  uint64_t seq_;           ///< The file being read; 0 before the oldest was looked for.
  uint64_t offset_;        ///< Up to here everything is delivered or in `out_`.
  uint64_t line_[2];       ///< Unfinished lines.
  uint64_t successor_ = 0; ///< A later file was there before our last look at this one.
  size_t wanted_ = 0;
  size_t got_ = 0;
  batch out_;
};

/// For the formats with lines, and for the raw one.
std::shared_ptr<log_reader::impl> make_line_reader(loop& l, std::string dir,
                                                   const log_place& from, log_format format);
std::shared_ptr<log_reader::impl> make_raw_reader(loop& l, std::string dir,
                                                  const log_place& from);

} // namespace gantry::io
