#include "io/log_reader.hpp"

#include <algorithm>
#include <cerrno>

#include "io/log_files.hpp"
#include "io/log_reader_impl.hpp"

namespace gantry::io {

namespace {

/// Bits of `log_piece::seq` that are the place in the file.
constexpr int place_bits = 40;

} // namespace

log_reader::impl::impl(loop& l, std::string dir, const log_place& from)
  : loop_(l), dir_(std::move(dir)), file_(l), seq_(from.file_seq), offset_(from.offset),
    line_{from.line[0], from.line[1]} {}

void log_reader::impl::next(size_t max_bytes, std::function<void(result<batch>)> f) {
  GANTRY_CHECK(!f_);
  f_ = std::move(f);
  wanted_ = max_bytes;
  got_ = 0;
  out_ = {};
  loop_.post([self = shared_from_this()] {
    if (self->file_)
      self->step();
    else
      self->open_file();
  });
}

result<uint64_t> log_reader::impl::file_after(uint64_t seq) {
  std::vector<uint64_t> files;
  if (const int err = list_log_files(loop_.sys(), dir_, files); err < 0)
    return from_errno(-err, "read the log directory", dir_);
  const auto it = std::upper_bound(files.begin(), files.end(), seq);
  return it == files.end() ? 0 : *it;
}

void log_reader::impl::open_file() {
  if (seq_ == 0) {
    const auto first = file_after(0);
    if (!first)
      return fail(first.why());
    if (*first == 0)
      return deliver(true);
    seq_ = *first;
  }
  file_.open(dir_, seq_, offset_, [self = shared_from_this()](int32_t res) { self->opened(res); });
}

void log_reader::impl::opened(int32_t res) {
  if (res >= 0)
    return step();
  if (res != -ENOENT)
    return fail_read(res);
  // Removed by rotation, or not there yet.
  const auto later = file_after(seq_);
  if (!later)
    return fail(later.why());
  if (*later == 0)
    return deliver(true);
  go_to(*later, *later - seq_);
  open_file();
}

void log_reader::impl::go_to(uint64_t seq, uint64_t missing) {
  file_.close();
  forget();
  seq_ = seq;
  offset_ = 0;
  successor_ = 0;
  if (missing != 0)
    line_[0] = line_[1] = 0;
  out_.missing_files += missing;
}

void log_reader::impl::file_ended() {
  if (successor_ == 0) {
    const auto later = file_after(seq_);
    if (!later)
      return fail(later.why());
    if (*later == 0)
      return deliver(true);
    successor_ = *later;
    return look_once_more();
  }
  const bool half = torn_end();
  const error why = half ? torn(offset_) : error{};
  go_to(successor_, successor_ - seq_ - 1);
  if (half)
    return fail(why);
  open_file();
}

void log_reader::impl::take(log_piece piece, uint64_t at, uint64_t after) {
  uint64_t& line = line_[piece.stream - 1];
  piece.seq = seq_ << place_bits | at;
  piece.line = line != 0 ? line : piece.seq;
  line = piece.bytes.ends_with('\n') ? 0 : piece.line;
  got_ += piece.bytes.size();
  offset_ = after;
  piece.next = {seq_, after, {line_[0], line_[1]}};
  out_.pieces.push_back(std::move(piece));
}

void log_reader::impl::deliver(bool at_end) {
  out_.next = {seq_, offset_, {line_[0], line_[1]}};
  out_.at_end = at_end;
  const auto f = std::exchange(f_, nullptr);
  f(std::move(out_));
}

void log_reader::impl::fail(error why) {
  const auto f = std::exchange(f_, nullptr);
  f(std::move(why));
}

void log_reader::impl::fail_read(int32_t res) {
  const auto path = log_file_path(dir_, seq_);
  if (res != -EBADMSG)
    return fail(from_errno(-res, "read the log", path));
  const auto later = file_after(seq_);
  if (later && *later != 0)
    go_to(*later, *later - seq_ - 1); // The next call goes on behind it.
  fail({ec::data_loss, "log file " + path + ".zst is damaged: its rest cannot be unpacked",
        "read on: other files are not touched by it"});
}

error log_reader::impl::torn(uint64_t at) const {
  return {ec::data_loss,
          "log file " + log_file_path(dir_, seq_) + ": no whole record at byte " +
            std::to_string(at),
          "read on: what follows is not touched by it"};
}

log_reader::log_reader(loop& l, std::string dir, log_place from, log_format format)
  : impl_(format == log_format::raw ? make_raw_reader(l, std::move(dir), from)
                                    : make_line_reader(l, std::move(dir), from, format)) {}

log_reader::~log_reader() {
  if (impl_->f_)
    impl_->f_ = [](const result<batch>&) {};
}

void log_reader::next(size_t max_bytes, std::function<void(result<batch>)> f) {
  impl_->next(max_bytes, std::move(f));
}

} // namespace gantry::io
