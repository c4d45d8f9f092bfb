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
  /// @param more Files may have an index or be packed: these go with them.
  log_output(loop& l, std::string dir, bool more) : loop_(l), dir_(std::move(dir)), more_(more) {}
  ~log_output(); ///< Only at rest.

  /// Writes all of `from` into file `seq` at `offset`; at 0 the file is made if need be, and so is
  /// its directory, in one that is there. At another offset a file that is not there (somebody
  /// moved it) is -ENOENT.
  /// @param f Gets the size or a negated errno, on the loop, never from inside this call.
  void write(uint64_t seq, uint64_t offset, std::span<const char> from, op_done f);

  /// The same, and beside it `entry` at `entry_offset` of the file's index. Both or an error.
  void write(uint64_t seq, uint64_t offset, std::span<const char> from, uint64_t entry_offset,
             std::span<const char> entry, op_done f);

  /// Removes files up to and with `seq`, in the background; a file that is not there is fine.
  void remove_through(uint64_t seq);

  /// Closes the files and gives the memory of the ops back. Only when no write is under way.
  void close();

  /// @returns whether nothing is under way. If something is, `f` is called when it ends.
  bool rests(std::function<void()> f);

  [[nodiscard]] const std::string& dir() const noexcept { return dir_; }

private:
  /// One of the files being written.
  struct part {
    explicit part(loop& l) : open(l), write(l), dir(l) {}
    open_op open;
    write_op write;
    path_op dir;
    fd file;
    uint64_t seq = 0; ///< The log file that `file` is, or belongs to.
    uint64_t offset = 0;
    std::span<const char> from;
  };

  void begin(std::unique_ptr<part>& which, uint64_t seq, uint64_t offset,
             std::span<const char> from);
  void open_file(part& x, bool dir_is_new);
  void make_dir(part& x);
  void put(part& x);
  void wrote(part& x, int32_t res);
  void remove_next();
  void tell_rest();
  [[nodiscard]] bool removing() const { return unlink_ && unlink_->in_flight(); }

  loop& loop_;
  std::string dir_;
  bool more_;
  std::unique_ptr<part> data_;
  std::unique_ptr<part> index_;
  std::unique_ptr<path_op> unlink_;
  op_done done_;              ///< Set while a write is under way.
  int parts_ = 0;             ///< Of it, that are.
  int32_t res_ = 0;           ///< Its size, or what went wrong.
  uint64_t next_removed_ = 0; ///< 0: nothing was removed yet.
  uint64_t last_removed_ = 0;
  int removal_ = 0; ///< Which of the names of `next_removed_`.
  std::function<void()> rested_;
};

} // namespace gantry::io
