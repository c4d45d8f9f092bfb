#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

#include "library/convert.hpp"
#include "library/streams.hpp"

// The pumps behind a bundle's descriptors. SIGPIPE is no matter here: the library's thread has
// all signals blocked.

namespace gantry::library {

namespace {

constexpr size_t pull_bytes = 64u << 10;
constexpr size_t input_bytes = 64u << 10; // a pipe's own size
constexpr auto first_pause = std::chrono::milliseconds(2);
constexpr auto longest_pause = std::chrono::milliseconds(50);

} // namespace

output_pump::output_pump(std::shared_ptr<site> at, std::shared_ptr<io_bundle::shared> says,
                         int pipe, uint32_t stream)
  : site_(std::move(at)), says_(std::move(says)), pipe_(pipe), stream_(stream) {}

output_pump::~output_pump() { GANTRY_CHECK(pipe_ < 0); }

void output_pump::begin(std::unique_ptr<actors::log_follower> from) {
  from_ = std::move(from);
  site_->add(shared_from_this());
  left_ = site_->react().ready(pipe_, 0, [this] { end(); });
  pull();
}

void output_pump::pull() {
  from_->next(pull_bytes, [weak = weak_from_this()](result<std::vector<v1::LogChunk>> x) {
    if (auto me = weak.lock())
      me->took(std::move(x));
  });
}

void output_pump::took(result<std::vector<v1::LogChunk>> x) {
  if (pipe_ < 0)
    return;
  if (!x)
    says_->note(x.why());
  if (!x || x->empty())
    return end();
  data_.clear();
  written_ = 0;
  for (const auto& chunk : *x) {
    if (chunk.missing_files() > 0)
      says_->note({ec::data_loss,
                   std::to_string(chunk.missing_files())
                     + " log files were rotated away before they were read",
                   "read faster, or keep more log files"});
    if (chunk.stream() == stream_)
      data_ += chunk.data();
  }
  write();
}

void output_pump::write() {
  while (written_ < data_.size()) {
    const auto n = ::write(pipe_, data_.data() + written_, data_.size() - written_);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN) {
      writable_ = site_->react().ready(pipe_, POLLOUT, [this] { write(); });
      return;
    }
    if (n < 0) // EPIPE: nobody reads any more.
      return end();
    written_ += size_t(n);
  }
  pull();
}

void output_pump::end() {
  if (pipe_ < 0)
    return;
  const auto me = shared_from_this();
  writable_.reset();
  left_.reset();
  site_->react().close(std::exchange(pipe_, -1));
  from_.reset();
  site_->remove(me);
}

void output_pump::leave(const error& why) {
  if (pipe_ >= 0)
    says_->note(why);
  end();
}

input_pump::input_pump(std::shared_ptr<site> at, std::shared_ptr<io_bundle::shared> says, int pipe,
                       v1::Ref ref, std::string process)
  : site_(std::move(at)), says_(std::move(says)), pipe_(pipe), ref_(std::move(ref)),
    process_(std::move(process)) {}

input_pump::~input_pump() { GANTRY_CHECK(pipe_ < 0); }

void input_pump::begin() {
  site_->add(shared_from_this());
  send(); // Nothing: the answer tells how much input there was before.
}

void input_pump::read() {
  data_.resize(input_bytes);
  const auto n = ::read(pipe_, data_.data(), data_.size());
  const int why = errno;
  data_.resize(n > 0 ? size_t(n) : 0);
  if (n > 0)
    return send();
  if (n == 0)
    return close_stdin();
  if (why != EAGAIN && why != EINTR)
    return end();
  wait_ = site_->react().ready(pipe_, POLLIN, [this] { read(); });
}

void input_pump::send() {
  v1::WriteStdinRequest req;
  *req.mutable_ref() = ref_;
  req.set_process(process_);
  req.set_offset(offset_);
  req.set_data(data_);
  site_->ask<v1::WriteStdinReply>(std::move(req),
                                  [me = shared_from_this()](result<v1::WriteStdinReply> x) {
                                    me->sent(std::move(x));
                                  });
}

void input_pump::sent(result<v1::WriteStdinReply> x) {
  if (pipe_ < 0)
    return;
  if (!x) {
    // A process that ended or closed its stdin does not need the rest: as in a shell's pipe.
    if (x.why().code != ec::wrong_state && x.why().code != ec::not_found)
      says_->note(x.why());
    return end();
  }
  if (!std::exchange(known_, true)) {
    offset_ = x->offset();
    return read();
  }
  const auto taken = std::clamp(x->offset(), offset_, offset_ + data_.size()) - offset_;
  data_.erase(0, taken);
  offset_ += taken;
  if (data_.empty())
    return read();
  pause_ = taken > 0 ? io::nanoseconds(first_pause)
                     : std::clamp<io::nanoseconds>(pause_ * 2, first_pause, longest_pause);
  wait_ = site_->react().after(pause_, [this] { send(); });
}

void input_pump::close_stdin() {
  v1::CloseStdinRequest req;
  *req.mutable_ref() = ref_;
  req.set_process(process_);
  if (site_->way() != nullptr && site_->way()->may_repeat())
    req.set_request_id(fresh_request_id());
  site_->ask<v1::CloseStdinReply>(std::move(req),
                                  [me = shared_from_this()](const result<v1::CloseStdinReply>&) {
                                    me->end(); // Closed already, or gone: as good.
                                  });
}

void input_pump::end() {
  if (pipe_ < 0)
    return;
  const auto me = shared_from_this();
  wait_.reset();
  site_->react().close(std::exchange(pipe_, -1));
  site_->remove(me);
}

void input_pump::leave(const error& why) {
  if (pipe_ >= 0)
    says_->note(why);
  end();
}

} // namespace gantry::library
