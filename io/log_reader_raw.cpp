#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include "io/log_files.hpp"
#include "io/log_reader_impl.hpp"
#include "io/raw_log.hpp"

namespace gantry::io {

namespace {

constexpr size_t index_chunk = 16u << 10;
constexpr size_t data_chunk = 64u << 10;

/// Goes over the index, and over the bytes that it tells of.
class raw_reader final : public log_reader::impl {
public:
  raw_reader(loop& l, std::string dir, const log_place& from)
    : impl(l, std::move(dir), from), open_index_(l), read_index_(l) {}

private:
  void step() override;
  void forget() override {
    index_.reset();
    index_at_ = 0;
    entries_.clear();
    next_entry_ = 0;
  }

  std::shared_ptr<raw_reader> me() {
    return std::static_pointer_cast<raw_reader>(shared_from_this());
  }
  void open_index();
  void read_index();
  void read_data(const raw_entry& x);

  open_op open_index_;
  read_op read_index_;
  fd index_;
  uint64_t index_at_ = 0; ///< Behind what is in `entries_`.
  std::string entries_;
  size_t next_entry_ = 0;
};

void raw_reader::step() {
  if (got_ >= wanted_)
    return deliver(false);
  for (; next_entry_ + raw_entry_bytes <= entries_.size(); next_entry_ += raw_entry_bytes)
    if (const raw_entry x = read_raw_entry(entries_.data() + next_entry_); x.end > offset_)
      return read_data(x);
  if (index_)
    read_index();
  else
    open_index();
}

void raw_reader::open_index() {
  open_index_.start(AT_FDCWD, log_index_path(dir_, seq_), O_RDONLY | O_NOFOLLOW, 0, false,
                    [self = me()](int32_t res) {
                      if (res == -ENOENT) // The data file came a moment earlier.
                        return self->file_ended();
                      if (res < 0)
                        return self->fail_read(res);
                      self->index_ = fd(self->loop_.sys(), res);
                      self->read_index();
                    });
}

void raw_reader::read_index() {
  entries_.resize(index_chunk);
  read_index_.start(index_.get(), entries_, index_at_, [self = me()](int32_t res) {
    // An entry that is being written is read again when it is whole.
    const auto whole = static_cast<size_t>(std::max(res, 0)) / raw_entry_bytes * raw_entry_bytes;
    self->entries_.resize(whole);
    self->next_entry_ = 0;
    self->index_at_ += whole;
    if (res < 0)
      return self->fail_read(res);
    if (whole == 0) {
      self->entries_ = {};
      return self->file_ended();
    }
    self->step();
  });
}

void raw_reader::read_data(const raw_entry& x) {
  auto bytes = std::make_shared<std::string>(std::min<uint64_t>(x.end - offset_, data_chunk), '\0');
  file_.read(*bytes, [self = me(), x, bytes](int32_t res) {
    if (res < 0)
      return self->fail_read(res);
    if (res == 0) // The index was faster.
      return self->file_ended();
    log_piece piece;
    piece.stream = x.stream + 1;
    piece.time_ns = x.time_ns;
    bytes->resize(static_cast<size_t>(res));
    piece.bytes = std::move(*bytes);
    const uint64_t at = self->offset_;
    self->take(std::move(piece), at, at + static_cast<uint64_t>(res));
    self->step();
  });
}

} // namespace

std::shared_ptr<log_reader::impl> make_raw_reader(loop& l, std::string dir,
                                                  const log_place& from) {
  return std::make_shared<raw_reader>(l, std::move(dir), from);
}

} // namespace gantry::io
