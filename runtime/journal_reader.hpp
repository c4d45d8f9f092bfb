#pragma once

// INTERNAL to runtime/journal*.cpp.

#include <functional>
#include <string>
#include <vector>

#include "io/file_ops.hpp"
#include "runtime/journal_impl.hpp"

namespace gantry::runtime {

/// One `journal_file::read` under way: from the segment that holds the next record, or from
/// memory. Owned by the journal's list; takes itself out when it has answered.
class journal_reader {
public:
  using answer = std::function<void(result<std::vector<journal::Record>>)>;

  journal_reader(journal_file::impl& j, uint64_t after, size_t max_bytes, answer f);
  void start();

private:
  void look();
  void open(const segment_info& s);
  void read_more();
  void take(size_t fresh);
  void take_memory();
  bool take_one(const char* frame, size_t bytes, uint64_t end_seq);
  void segment_over();
  void damaged(uint64_t at);
  void fail(error why);
  void finish();

  journal_file::impl& journal_;
  uint64_t after_;
  size_t max_bytes_;
  answer answer_;
  std::vector<journal::Record> out_;
  size_t out_bytes_ = 0;

  io::open_op open_op_;
  io::read_op read_op_;
  io::fd file_;
  uint64_t first_seq_ = 0;  ///< Of the segment being read.
  uint64_t next_first_ = 0; ///< Of the one behind it, or what is not on disk yet.
  uint64_t offset_ = 0;     ///< Of buffer_[0] in the file.
  uint64_t limit_ = 0;      ///< Bytes of the file that count.
  std::string buffer_;
  size_t have_ = 0;
};

} // namespace gantry::runtime
