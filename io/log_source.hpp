#pragma once

#include <memory>
#include <string>

#include "io/file_ops.hpp"

namespace gantry::io {

/// The bytes of one log file in order, be it packed or not. One call at a time; callbacks come on
/// the loop, never from inside a call, and must keep this object alive until then.
class log_source {
public:
  explicit log_source(loop& l);
  ~log_source();

  /// Opens file `seq` at byte `offset` of its content.
  /// @param f Gets 0 or a negated errno; -ENOENT when there is no such file.
  void open(const std::string& dir, uint64_t seq, uint64_t offset, op_done f);

  /// Reads on.
  /// @param f Gets how many bytes, 0 where there are no more now, or a negated errno; -EBADMSG
  ///          where a packed file is damaged.
  void read(std::span<char> into, op_done f);

  void close();
  [[nodiscard]] explicit operator bool() const noexcept { return bool(file_); }

private:
  struct unpacker;
  void opened(int32_t res);
  void unpack();
  void answer(int32_t res);

  loop& loop_;
  open_op open_;
  read_op read_;
  fd file_;
  std::string packed_path_;  ///< Not tried yet.
  uint64_t offset_ = 0;      ///< Of the next read in the file.
  uint64_t skip_ = 0;        ///< Unpacked bytes that nobody wants.
  std::span<char> into_;
  op_done done_;
  std::unique_ptr<unpacker> unpacker_; ///< Of a packed file.
  std::shared_ptr<log_source*> alive_; ///< What is posted looks here whether we still are.
};

} // namespace gantry::io
