#include "apps/gantry/stdin_copy.hpp"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "apps/gantry/say.hpp"
#include "apps/gantry/session.hpp"

namespace gantry::cli {

namespace {

using std::chrono::milliseconds;

/// Of one request; the bus takes up to 1 MiB.
constexpr size_t piece_bytes = 256u << 10;
constexpr milliseconds first_pause{2};
constexpr milliseconds longest_pause{50};

} // namespace

stdin_copy::stdin_copy(client::channel& way, v1::Ref ref, std::string process)
  : way_(way), ref_(std::move(ref)), process_(std::move(process)) {}

stdin_copy::~stdin_copy() {
  if (write_)
    way_.drop(*write_);
  if (close_)
    way_.drop(*close_);
}

pollfd stdin_copy::want() const noexcept {
  const bool more = !over_ && !at_end_ && waiting_.empty();
  return {more ? STDIN_FILENO : -1, POLLIN, 0};
}

int stdin_copy::wait_ms() const {
  if (over_ || write_ || waiting_.empty())
    return -1;
  const auto left = std::chrono::ceil<milliseconds>(pause_until_ - clock::now());
  return std::max(0, static_cast<int>(left.count()));
}

void stdin_copy::turn(bool readable) {
  if (readable && !over_ && !at_end_ && waiting_.empty()) {
    waiting_.resize(piece_bytes);
    const ssize_t n = ::read(STDIN_FILENO, waiting_.data(), waiting_.size());
    waiting_.resize(n > 0 ? static_cast<size_t>(n) : 0);
    // A terminal of a background job, or a directory: no input can be had from it.
    at_end_ = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
  }
  take_answer();
  if (over_ || write_ || close_)
    return;
  if (!waiting_.empty() && clock::now() >= pause_until_)
    send();
  else if (waiting_.empty() && at_end_)
    close();
}

void stdin_copy::take_answer() {
  if (close_ && close_->finished()) {
    close_.reset();
    over_ = true;
  }
  if (!write_ || !write_->finished())
    return;
  auto reply = write_->take();
  write_.reset();
  if (!reply)
    return give_up(reply.why());
  const uint64_t taken = std::clamp(reply->offset(), offset_, offset_ + waiting_.size()) - offset_;
  waiting_.erase(0, taken);
  offset_ += taken;
  pause_ = taken > 0 ? milliseconds(0) : std::clamp(pause_ * 2, first_pause, longest_pause);
  pause_until_ = clock::now() + pause_;
}

void stdin_copy::send() {
  v1::WriteStdinRequest r;
  *r.mutable_ref() = ref_;
  r.set_process(process_);
  r.set_offset(offset_);
  r.set_data(waiting_);
  write_ =
    std::make_unique<client::unary<v1::WriteStdinReply>>("/gantry.v1.Processes/WriteStdin", r);
  way_.start(*write_);
}

void stdin_copy::close() {
  v1::CloseStdinRequest r;
  *r.mutable_ref() = ref_;
  r.set_process(process_);
  r.set_request_id(fresh_request_id());
  close_ =
    std::make_unique<client::unary<v1::CloseStdinReply>>("/gantry.v1.Processes/CloseStdin", r);
  way_.start(*close_);
}

void stdin_copy::give_up(const error& why) {
  over_ = true;
  // A process that ended or closed its stdin does not need the rest: as in a shell's pipe.
  if (why.code != ec::wrong_state && why.code != ec::not_found && why.code != ec::cancelled)
    say_error({why.code, "the input did not reach the process: " + why.message, why.cure});
}

} // namespace gantry::cli
