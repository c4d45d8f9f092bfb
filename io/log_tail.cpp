#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include "io/file_ops.hpp"
#include "io/log_files.hpp"
#include "io/log_reader.hpp"
#include "io/log_source.hpp"

namespace gantry::io {

namespace {

constexpr size_t tail_chunk = 64u << 10;

/// Goes backwards over the files of a log and counts the records' ends. The size of a file
/// is found by reading single bytes: at doubled offsets first, then by halving. A packed file is
/// gone over from its front: once to count, once more to find the place.
struct tail_search : std::enable_shared_from_this<tail_search> {
  tail_search(loop& l, std::string d, uint64_t n, std::function<void(result<log_place>)> done)
    : loop_(l), dir_(std::move(d)), lines_(n), f_(std::move(done)), open_(l), read_(l),
      packed_(l) {}

  void begin();
  void open_file();
  void probe();
  void read_back();
  bool count(size_t bytes);
  void file_done();
  void open_packed();
  void read_packed();
  bool count_packed(size_t bytes);
  void read_at(uint64_t offset, size_t bytes, void (tail_search::*then)(size_t));
  void probed(size_t bytes);
  void chunk_read(size_t bytes);
  void answer(result<log_place> x) { std::exchange(f_, nullptr)(std::move(x)); }

  loop& loop_;
  std::string dir_;
  uint64_t lines_; ///< Records still to be gone back over.
  std::function<void(result<log_place>)> f_;
  open_op open_;
  read_op read_;
  fd file_;
  std::vector<uint64_t> files_; ///< Not looked at yet, ascending; the last is the current one.
  uint64_t below_ = 0;          ///< The file has at least so many bytes …
  uint64_t above_ = 0;          ///< … and not more than so many; 0: not known.
  uint64_t begin_ = 0;          ///< The chunk in `buffer_` begins here.
  uint64_t seen_ = 0;           ///< Ends of records seen in this file.
  std::string buffer_;
  log_source packed_;
  uint64_t wanted_end_ = 0; ///< Of a packed file, second time: the place is behind this end.
};

void tail_search::begin() {
  if (const int err = list_log_files(loop_.sys(), dir_, files_); err < 0)
    return answer(from_errno(-err, "read the log directory", dir_));
  if (files_.empty())
    return answer(log_place{});
  open_file();
}

void tail_search::open_file() {
  below_ = above_ = seen_ = 0;
  open_.start(AT_FDCWD, log_file_path(dir_, files_.back()), O_RDONLY | O_NOFOLLOW, 0, false,
              [self = shared_from_this()](int32_t res) {
                const uint64_t seq = self->files_.back();
                if (res == -ENOENT)
                  return self->open_packed();
                if (res < 0)
                  return self->answer(
                    from_errno(-res, "read the log", log_file_path(self->dir_, seq)));
                self->file_ = fd(self->loop_.sys(), res);
                self->probe();
              });
}

void tail_search::read_at(uint64_t offset, size_t bytes, void (tail_search::*then)(size_t)) {
  buffer_.resize(bytes);
  read_.start(file_.get(), buffer_, offset, [self = shared_from_this(), then](int32_t res) {
    if (res < 0)
      return self->answer(
        from_errno(-res, "read the log", log_file_path(self->dir_, self->files_.back())));
    ((*self).*then)(static_cast<size_t>(res));
  });
}

void tail_search::probe() {
  if (above_ != 0 && above_ - below_ <= 1) {
    begin_ = below_;
    return read_back();
  }
  const uint64_t middle =
    above_ != 0 ? below_ + (above_ - 1 - below_) / 2 : std::max<uint64_t>(below_ * 2, tail_chunk);
  begin_ = middle;
  read_at(middle, 1, &tail_search::probed);
}

/// A byte at `begin_` means that the file is longer than that.
void tail_search::probed(size_t bytes) {
  if (bytes != 0)
    below_ = begin_ + 1;
  else
    above_ = begin_ + 1; // Not more than `begin_` bytes; kept one higher, so 0 says nothing.
  probe();
}

void tail_search::read_back() {
  if (begin_ == 0)
    return file_done();
  const auto bytes = static_cast<size_t>(std::min<uint64_t>(begin_, tail_chunk));
  begin_ -= bytes;
  read_at(begin_, bytes, &tail_search::chunk_read);
}

void tail_search::chunk_read(size_t bytes) {
  if (!count(bytes))
    read_back();
}

/// Counts the ends of records in the chunk, from behind. @returns whether the place was found.
bool tail_search::count(size_t bytes) {
  for (size_t i = bytes; i-- > 0;) {
    if (buffer_[i] != '\n' || seen_++ < lines_)
      continue;
    answer(log_place{files_.back(), begin_ + i + 1});
    return true;
  }
  return false;
}

/// The front of a file: all of its records are wanted.
void tail_search::file_done() {
  const uint64_t seq = files_.back();
  lines_ -= std::min(lines_, seen_);
  wanted_end_ = 0;
  packed_.close();
  files_.pop_back();
  file_.reset();
  if (lines_ == 0 || files_.empty())
    return answer(log_place{seq, 0});
  open_file();
}

void tail_search::open_packed() {
  begin_ = 0;
  packed_.open(dir_, files_.back(), 0, [self = shared_from_this()](int32_t res) {
    if (res == -ENOENT) // Rotation was faster.
      return self->answer(log_place{self->files_.back() + 1, 0});
    if (res < 0)
      return self->answer(from_errno(-res, "read the log",
                                     log_packed_path(self->dir_, self->files_.back())));
    self->read_packed();
  });
}

void tail_search::read_packed() {
  buffer_.resize(tail_chunk);
  packed_.read(buffer_, [self = shared_from_this()](int32_t res) {
    if (res > 0 && self->count_packed(static_cast<size_t>(res)))
      return;
    if (res > 0) {
      self->begin_ += static_cast<uint64_t>(res);
      return self->read_packed();
    }
    // Its end, or damage: what is readable counts.
    if (self->seen_ <= self->lines_ || self->wanted_end_ != 0)
      return self->file_done();
    self->wanted_end_ = self->seen_ - self->lines_;
    self->seen_ = 0;
    self->open_packed();
  });
}

/// Counts the ends of records in the chunk. @returns whether the place was found.
bool tail_search::count_packed(size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) {
    if (buffer_[i] != '\n' || ++seen_ != wanted_end_)
      continue;
    answer(log_place{files_.back(), begin_ + i + 1});
    return true;
  }
  return false;
}

} // namespace

void find_tail(loop& l, std::string dir, uint64_t lines, std::function<void(result<log_place>)> f) {
  auto search = std::make_shared<tail_search>(l, std::move(dir), lines, std::move(f));
  l.post([search] { search->begin(); });
}

} // namespace gantry::io
