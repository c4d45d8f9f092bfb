#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "io/file_ops.hpp"
#include "io/kernel.hpp"
#include "io/loop.hpp"

namespace gantry::io {

/// The files that a pump writes into: opened when there is something to write, closed when
/// it has been quiet. One write at a time.
class log_output {
public:
  log_output(loop& l, std::string dir) : loop_(l), dir_(std::move(dir)) {}
  ~log_output(); ///< Only at rest.

  /// Writes all of `from` into file `seq` at `offset`, creating the file if need be.
  /// @param f Gets the size or a negated errno, on the loop, never from inside this call.
  void write(uint64_t seq, uint64_t offset, std::span<const char> from, op_done f);

  /// Removes files up to and with `seq`, in the background; a file that is not there is fine.
  void remove_through(uint64_t seq);

  /// Closes the file and gives the memory of the ops back. Only when no write is under way.
  void close();

  /// @returns whether nothing is under way. If something is, `f` is called when it ends.
  bool rests(std::function<void()> f);

  [[nodiscard]] const std::string& dir() const noexcept { return dir_; }

private:
  struct ops {
    explicit ops(loop& l) : open(l), write(l) {}
    open_op open;
    write_op write;
  };

  void opened(int32_t res);
  void start_write();
  void wrote(int32_t res);
  void remove_next();
  void tell_rest();

  loop& loop_;
  std::string dir_;
  std::unique_ptr<ops> ops_;
  std::unique_ptr<path_op> unlink_;
  fd file_;
  uint64_t open_seq_ = 0; ///< The file that `file_` is.
  uint64_t seq_ = 0;
  uint64_t offset_ = 0;
  std::span<const char> from_;
  op_done done_;              ///< Set while a write is under way.
  uint64_t next_removed_ = 0; ///< 0: nothing was removed yet.
  uint64_t last_removed_ = 0;
  std::function<void()> rested_;
};

} // namespace gantry::io
