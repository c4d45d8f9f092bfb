#include "io/log_source.hpp"

#include <cerrno>
#include <fcntl.h>
#include <zstd.h>

#include "io/log_files.hpp"

namespace gantry::io {

namespace {

constexpr size_t packed_chunk = 64u << 10;
constexpr size_t skip_chunk = 256u << 10;

} // namespace

struct log_source::unpacker {
  unpacker() : stream(ZSTD_createDStream()) { GANTRY_CHECK(stream != nullptr); }
  ~unpacker() { ZSTD_freeDStream(stream); }
  unpacker(const unpacker&) = delete;
  unpacker& operator=(const unpacker&) = delete;

  ZSTD_DStream* stream;
  std::string in = std::string(packed_chunk, '\0');
  std::string unwanted; ///< Where skipped bytes go.
  size_t at = 0;
  size_t size = 0;
  bool in_frame = false; ///< The end of the file would be a torn one.
};

log_source::log_source(loop& l)
  : loop_(l), open_(l), read_(l), alive_(std::make_shared<log_source*>(this)) {}

log_source::~log_source() {
  *alive_ = nullptr;
}

void log_source::close() {
  file_.reset();
  unpacker_.reset();
}

void log_source::open(const std::string& dir, uint64_t seq, uint64_t offset, op_done f) {
  close();
  offset_ = offset;
  skip_ = 0;
  done_ = std::move(f);
  packed_path_ = log_packed_path(dir, seq);
  open_.start(AT_FDCWD, log_file_path(dir, seq), O_RDONLY | O_NOFOLLOW, 0, false,
              [this](int32_t res) { opened(res); });
}

void log_source::opened(int32_t res) {
  if (res == -ENOENT && !packed_path_.empty()) {
    unpacker_ = std::make_unique<unpacker>();
    skip_ = std::exchange(offset_, 0);
    open_.start(AT_FDCWD, std::exchange(packed_path_, {}), O_RDONLY | O_NOFOLLOW, 0, false,
                [this](int32_t again) { opened(again); });
    return;
  }
  if (res < 0) {
    unpacker_.reset();
    return answer(res);
  }
  file_ = fd(loop_.sys(), res);
  answer(0);
}

void log_source::read(std::span<char> into, op_done f) {
  into_ = into;
  done_ = std::move(f);
  if (unpacker_) { // There may be enough in memory: the answer comes from a turn all the same.
    loop_.post([alive = alive_] {
      if (log_source* self = *alive)
        self->unpack();
    });
    return;
  }
  read_.start(file_.get(), into_, offset_, [this](int32_t res) {
    offset_ += static_cast<uint64_t>(std::max(res, 0));
    answer(res);
  });
}

/// One step: a chunk of input at most, and no more output than there is room for.
void log_source::unpack() {
  unpacker& u = *unpacker_;
  if (u.at == u.size) {
    read_.start(file_.get(), u.in, offset_, [this](int32_t res) {
      if (res <= 0)
        return answer(res == 0 && unpacker_->in_frame ? -EBADMSG : res);
      offset_ += static_cast<uint64_t>(res);
      unpacker_->at = 0;
      unpacker_->size = static_cast<size_t>(res);
      unpack();
    });
    return;
  }
  if (skip_ != 0)
    u.unwanted.resize(skip_chunk);
  ZSTD_inBuffer in{u.in.data(), u.size, u.at};
  ZSTD_outBuffer out{into_.data(), into_.size(), 0};
  if (skip_ != 0)
    out = {u.unwanted.data(), std::min<size_t>(skip_, skip_chunk), 0};
  const size_t left = ZSTD_decompressStream(u.stream, &out, &in);
  if (ZSTD_isError(left) != 0)
    return answer(-EBADMSG);
  u.at = in.pos;
  u.in_frame = left != 0;
  if (skip_ == 0 && out.pos != 0)
    return answer(static_cast<int32_t>(out.pos));
  skip_ -= std::min<uint64_t>(skip_, out.pos);
  loop_.post([alive = alive_] {
    if (log_source* self = *alive)
      self->unpack();
  });
}

void log_source::answer(int32_t res) {
  const op_done f = std::exchange(done_, nullptr);
  f(res);
}

} // namespace gantry::io
