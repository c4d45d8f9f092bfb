#include "io/log_output.hpp"

#include <cerrno>
#include <fcntl.h>
#include <utility>

#include "io/log_files.hpp"

namespace gantry::io {

namespace {

constexpr mode_t file_mode = 0600;

} // namespace

log_output::~log_output() {
  GANTRY_CHECK(!done_);
  GANTRY_CHECK(!unlink_ || !unlink_->in_flight());
}

void log_output::write(uint64_t seq, uint64_t offset, std::span<const char> from, op_done f) {
  GANTRY_CHECK(!done_);
  if (!ops_)
    ops_ = std::make_unique<ops>(loop_);
  seq_ = seq;
  offset_ = offset;
  from_ = from;
  done_ = std::move(f);
  if (file_ && open_seq_ == seq)
    return start_write();
  file_.reset();
  ops_->open.start(AT_FDCWD, log_file_path(dir_, seq), O_WRONLY | O_CREAT | O_NOFOLLOW, file_mode,
                   false, [this](int32_t res) { opened(res); });
}

void log_output::opened(int32_t res) {
  if (res < 0)
    return wrote(res);
  file_ = fd(loop_.sys(), res);
  open_seq_ = seq_;
  start_write();
}

void log_output::start_write() {
  ops_->write.start(file_.get(), from_, offset_, [this](int32_t res) { wrote(res); });
}

void log_output::wrote(int32_t res) {
  if (res < 0)
    file_.reset(); // The next try finds the path anew.
  const op_done f = std::exchange(done_, nullptr);
  f(res);
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
  if (!unlink_->in_flight())
    remove_next();
}

void log_output::remove_next() {
  unlink_->unlink(log_file_path(dir_, next_removed_), [this](int32_t) {
    if (next_removed_++ < last_removed_)
      return remove_next();
    tell_rest();
  });
}

void log_output::close() {
  GANTRY_CHECK(!done_);
  file_.reset();
  ops_.reset();
  if (unlink_ && !unlink_->in_flight())
    unlink_.reset();
}

bool log_output::rests(std::function<void()> f) {
  if (!done_ && (!unlink_ || !unlink_->in_flight()))
    return true;
  rested_ = std::move(f);
  return false;
}

void log_output::tell_rest() {
  if (done_ || (unlink_ && unlink_->in_flight()))
    return;
  if (const auto f = std::exchange(rested_, nullptr))
    f();
}

} // namespace gantry::io
