#include "io/log_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>

#include "io/file_ops.hpp"
#include "io/json_log.hpp"
#include "io/log_files.hpp"

namespace gantry::io {

namespace {

constexpr size_t chunk_bytes = 64u << 10;
/// No record of ours is longer: a line of 1 MiB, each byte of it escaped and in base64.
constexpr size_t longest_record = 16u << 20;

} // namespace

/// Lives as long as an op of it is under way: the ops' callbacks hold it.
struct log_reader::impl : std::enable_shared_from_this<log_reader::impl> {
  impl(loop& l, std::string d, log_place from)
    : loop_(l), dir_(std::move(d)), open_(l), read_(l), seq_(from.file_seq), offset_(from.offset) {}

  void next(size_t max_bytes, std::function<void(result<batch>)> f);
  void step();
  void open_file();
  void read_more();
  void file_ended();
  void go_to(uint64_t seq, uint64_t missing);
  bool take_records();
  void deliver(bool at_end);
  void fail(error why);
  /// The lowest number above `seq` that there is, 0 if none.
  result<uint64_t> file_after(uint64_t seq);
  error torn(uint64_t at) const;

  loop& loop_;
  std::string dir_;
  open_op open_;
  read_op read_;
  fd file_;
  uint64_t seq_;           ///< The file being read; 0 before the oldest was looked for.
  uint64_t offset_;        ///< Of the front of `buffer_` in the file.
  std::string buffer_;     ///< Read, and not yet taken …
  size_t taken_ = 0;       ///< … but for so many bytes at the front.
  size_t scanned_ = 0;     ///< Up to here there is no newline behind `taken_`.
  uint64_t successor_ = 0; ///< A later file was there before our last look at this one.
  size_t wanted_ = 0;
  size_t got_ = 0;
  batch out_;
  std::function<void(result<batch>)> f_;
};

void log_reader::impl::next(size_t max_bytes, std::function<void(result<batch>)> f) {
  GANTRY_CHECK(!f_);
  f_ = std::move(f);
  wanted_ = max_bytes;
  got_ = 0;
  out_ = {};
  loop_.post([self = shared_from_this()] { self->step(); });
}

void log_reader::impl::step() {
  if (!file_)
    return open_file();
  if (take_records())
    read_more();
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
  open_.start(AT_FDCWD, log_file_path(dir_, seq_), O_RDONLY | O_NOFOLLOW, 0, false,
              [self = shared_from_this()](int32_t res) {
                if (res >= 0) {
                  self->file_ = fd(self->loop_.sys(), res);
                  return self->step();
                }
                if (res != -ENOENT)
                  return self->fail(
                    from_errno(-res, "read the log", log_file_path(self->dir_, self->seq_)));
                // Removed by rotation, or not there yet.
                const auto later = self->file_after(self->seq_);
                if (!later)
                  return self->fail(later.why());
                if (*later == 0)
                  return self->deliver(true);
                self->go_to(*later, *later - self->seq_);
                self->open_file();
              });
}

void log_reader::impl::go_to(uint64_t seq, uint64_t missing) {
  file_.reset();
  seq_ = seq;
  offset_ = 0;
  buffer_.clear();
  taken_ = scanned_ = 0;
  successor_ = 0;
  out_.missing_files += missing;
}

void log_reader::impl::read_more() {
  buffer_.erase(0, taken_);
  offset_ += taken_;
  scanned_ -= taken_;
  taken_ = 0;
  const size_t before = buffer_.size();
  if (before > longest_record) {
    const error why = torn(offset_);
    offset_ += before; // A next call goes on behind it.
    buffer_.clear();
    scanned_ = 0;
    return fail(why);
  }
  buffer_.resize(before + chunk_bytes);
  read_.start(file_.get(), {buffer_.data() + before, chunk_bytes}, offset_ + before,
              [self = shared_from_this(), before](int32_t res) {
                self->buffer_.resize(before + static_cast<size_t>(std::max(res, 0)));
                if (res < 0)
                  return self->fail(
                    from_errno(-res, "read the log", log_file_path(self->dir_, self->seq_)));
                if (res == 0)
                  return self->file_ended();
                self->step();
              });
}

/// Nothing more is in this file now. If a later one was there before we looked, it is
/// complete; a record without an end is torn then, and being written else.
void log_reader::impl::file_ended() {
  if (successor_ == 0) {
    const auto later = file_after(seq_);
    if (!later)
      return fail(later.why());
    if (*later == 0)
      return deliver(true);
    successor_ = *later;
    return read_more(); // What came between our look and the new file.
  }
  const bool half = !buffer_.empty();
  const error why = half ? torn(offset_) : error{};
  go_to(successor_, successor_ - seq_ - 1);
  if (half)
    return fail(why);
  open_file();
}

/// Takes the whole records of the buffer. @returns whether more are wanted.
bool log_reader::impl::take_records() {
  while (got_ < wanted_) {
    const void* end = scanned_ < buffer_.size()
                        ? std::memchr(buffer_.data() + scanned_, '\n', buffer_.size() - scanned_)
                        : nullptr;
    if (end == nullptr) {
      scanned_ = buffer_.size();
      return true;
    }
    const auto after = static_cast<size_t>(static_cast<const char*>(end) - buffer_.data()) + 1;
    const std::string_view line(buffer_.data() + taken_, after - 1 - taken_);
    log_piece piece;
    const bool good = line.empty() || parse_record(line, piece);
    if (!good && !out_.pieces.empty())
      break; // First what is good; the next call tells of the damage.
    const uint64_t at = offset_ + taken_;
    taken_ = scanned_ = after;
    if (!good) {
      fail(torn(at));
      return false;
    }
    if (line.empty())
      continue;
    got_ += piece.bytes.size();
    piece.next = {seq_, offset_ + taken_};
    out_.pieces.push_back(std::move(piece));
  }
  deliver(false);
  return false;
}

void log_reader::impl::deliver(bool at_end) {
  out_.next = {seq_, offset_ + taken_};
  out_.at_end = at_end;
  if (buffer_.size() == taken_) { // A reader that waits holds no memory.
    offset_ += taken_;
    taken_ = scanned_ = 0;
    buffer_ = {};
  }
  const auto f = std::exchange(f_, nullptr);
  f(std::move(out_));
}

void log_reader::impl::fail(error why) {
  const auto f = std::exchange(f_, nullptr);
  f(std::move(why));
}

error log_reader::impl::torn(uint64_t at) const {
  return {ec::data_loss,
          "log file " + log_file_path(dir_, seq_) + ": no whole record at byte " +
            std::to_string(at),
          "read on: what follows is not touched by it"};
}

log_reader::log_reader(loop& l, std::string dir, log_place from)
  : impl_(std::make_shared<impl>(l, std::move(dir), from)) {}

log_reader::~log_reader() {
  if (impl_->f_)
    impl_->f_ = [](const result<batch>&) {};
}

void log_reader::next(size_t max_bytes, std::function<void(result<batch>)> f) {
  impl_->next(max_bytes, std::move(f));
}

} // namespace gantry::io
