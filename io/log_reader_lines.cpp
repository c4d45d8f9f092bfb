#include <algorithm>
#include <cstring>

#include "io/log_reader_impl.hpp"
#include "io/log_records.hpp"

namespace gantry::io {

namespace {

constexpr size_t chunk_bytes = 64u << 10;
/// No record of ours is longer: a line of 1 MiB, each byte of it escaped and in base64.
constexpr size_t longest_record = 16u << 20;

class line_reader final : public log_reader::impl {
public:
  line_reader(loop& l, std::string dir, const log_place& from, log_format format)
    : impl(l, std::move(dir), from), format_(format) {}

private:
  void step() override {
    if (take_records())
      read_more();
  }
  void forget() override {
    buffer_.clear();
    taken_ = scanned_ = 0;
  }
  [[nodiscard]] bool torn_end() const override { return buffer_.size() > taken_; }

  void read_more();
  bool take_records();

  log_format format_;
  std::string buffer_;     ///< Read from `offset_` on, and not yet taken …
  size_t taken_ = 0;       ///< … but for so many bytes at the front.
  size_t scanned_ = 0;     ///< Up to here there is no newline behind `taken_`.
};

void line_reader::read_more() {
  buffer_.erase(0, taken_);
  scanned_ -= taken_;
  taken_ = 0;
  const size_t before = buffer_.size();
  if (before > longest_record) {
    const error why = torn(offset_);
    offset_ += before; // A next call goes on behind it.
    forget();
    return fail(why);
  }
  buffer_.resize(before + chunk_bytes);
  file_.read({buffer_.data() + before, chunk_bytes},
             [self = shared_from_this(), this, before](int32_t res) {
               buffer_.resize(before + static_cast<size_t>(std::max(res, 0)));
               if (buffer_.empty())
                 buffer_ = {}; // A reader that waits holds no memory.
               if (res < 0)
                 return fail_read(res);
               if (res == 0)
                 return file_ended();
               step();
             });
}

/// Takes the whole records of the buffer. @returns whether more are wanted.
bool line_reader::take_records() {
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
    const bool good = line.empty() || parse_record(format_, line, piece);
    if (!good && !out_.pieces.empty())
      break; // First what is good; the next call tells of the damage.
    const uint64_t at = offset_;
    const uint64_t size = after - taken_;
    taken_ = scanned_ = after;
    if (good && !line.empty()) {
      take(std::move(piece), at, at + size);
      continue;
    }
    offset_ = at + size;
    if (!good) {
      fail(torn(at));
      return false;
    }
  }
  if (buffer_.size() == taken_) // A reader that waits holds no memory.
    buffer_ = {}, taken_ = scanned_ = 0;
  deliver(false);
  return false;
}

} // namespace

std::shared_ptr<log_reader::impl> make_line_reader(loop& l, std::string dir,
                                                   const log_place& from, log_format format) {
  return std::make_shared<line_reader>(l, std::move(dir), from, format);
}

} // namespace gantry::io
