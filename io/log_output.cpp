#include "io/log_output.hpp"

#include <cerrno>
#include <fcntl.h>
#include <utility>

#include "io/log_files.hpp"

namespace gantry::io {

namespace {

constexpr mode_t file_mode = 0600;
constexpr mode_t dir_mode = 0700;

} // namespace

log_output::~log_output() {
  GANTRY_CHECK(!done_);
  GANTRY_CHECK(!removing());
}

void log_output::write(uint64_t seq, uint64_t offset, std::span<const char> from, op_done f) {
  GANTRY_CHECK(!done_);
  done_ = std::move(f);
  parts_ = 1;
  res_ = static_cast<int32_t>(from.size());
  begin(data_, seq, offset, from);
}

void log_output::write(uint64_t seq, uint64_t offset, std::span<const char> from,
                       uint64_t entry_offset, std::span<const char> entry, op_done f) {
  GANTRY_CHECK(!done_);
  done_ = std::move(f);
  parts_ = 2;
  res_ = static_cast<int32_t>(from.size());
  begin(data_, seq, offset, from);
  begin(index_, seq, entry_offset, entry);
}

void log_output::begin(std::unique_ptr<part>& which, uint64_t seq, uint64_t offset,
                       std::span<const char> from) {
  if (!which)
    which = std::make_unique<part>(loop_);
  part& x = *which;
  x.offset = offset;
  x.from = from;
  if (x.file && x.seq == seq)
    return put(x);
  x.file.reset();
  x.seq = seq;
  open_file(x, false);
}

void log_output::open_file(part& x, bool dir_is_new) {
  // What has bytes already is not made anew: somebody moved it, and a hole would stand for them.
  const int create = x.offset == 0 ? O_CREAT : 0;
  x.open.start(AT_FDCWD,
               &x == data_.get() ? log_file_path(dir_, x.seq) : log_index_path(dir_, x.seq),
               O_WRONLY | O_NOFOLLOW | create, file_mode, false,
               [this, &x, create, dir_is_new](int32_t res) {
                 if (res == -ENOENT && create != 0 && !dir_is_new)
                   return make_dir(x);
                 if (res < 0)
                   return wrote(x, res);
                 x.file = fd(loop_.sys(), res);
                 put(x);
               });
}

/// It was not needed until now, or somebody removed it under our feet.
void log_output::make_dir(part& x) {
  x.dir.mkdir(dir_, dir_mode, [this, &x](int32_t) { open_file(x, true); }); // That tells.
}

void log_output::put(part& x) {
  x.write.start(x.file.get(), x.from, x.offset, [this, &x](int32_t res) { wrote(x, res); });
}

void log_output::wrote(part& x, int32_t res) {
  if (res < 0) {
    x.file.reset(); // The next try finds the path anew.
    res_ = res;
  }
  if (--parts_ != 0)
    return;
  const op_done f = std::exchange(done_, nullptr);
  f(res_);
  tell_rest();
}

void log_output::remove_through(uint64_t seq) {
  if (seq <= last_removed_)
    return;
  if (next_removed_ == 0)
    next_removed_ = seq;
  last_removed_ = seq;
  if (!unlink_)
    unlink_ = std::make_unique<path_op>(loop_);
  if (!removing())
    remove_next();
}

void log_output::remove_next() {
  const std::string path = removal_ == 0   ? log_file_path(dir_, next_removed_)
                           : removal_ == 1 ? log_packed_path(dir_, next_removed_)
                                           : log_index_path(dir_, next_removed_);
  unlink_->unlink(path, [this](int32_t) {
    if (more_ && removal_ < 2) {
      ++removal_;
      return remove_next();
    }
    removal_ = 0;
    if (next_removed_++ < last_removed_)
      return remove_next();
    tell_rest();
  });
}

void log_output::close() {
  GANTRY_CHECK(!done_);
  data_.reset();
  index_.reset();
  if (unlink_ && !removing())
    unlink_.reset();
}

bool log_output::rests(std::function<void()> f) {
  if (!done_ && !removing())
    return true;
  rested_ = std::move(f);
  return false;
}

void log_output::tell_rest() {
  if (done_ || removing())
    return;
  if (const auto f = std::exchange(rested_, nullptr))
    f();
}

} // namespace gantry::io
