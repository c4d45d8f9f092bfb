#include "io/log_sink.hpp"

#include <cerrno>
#include <csignal>
#include <liburing.h>
#include <poll.h>
#include <spdlog/pattern_formatter.h>
#include <thread>
#include <unistd.h>

#include "io/log.hpp"
#include "io/op_errno.hpp"

namespace gantry::io {

namespace {

constexpr const char* line_pattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";

/// The sink that a dying process flushes.
std::atomic<log_sink*> last_words{nullptr};

void write_at_once(int fd, const char*& at, size_t& left) noexcept {
  while (left > 0) {
    pollfd p{fd, POLLOUT, 0};
    if (::poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
      return;
    // A pipe that polls writable has room for this much: the call cannot wait.
    auto n = ::write(fd, at, std::min<size_t>(left, PIPE_BUF));
    if (n <= 0)
      return;
    at += n;
    left -= size_t(n);
  }
}

} // namespace

/// One write at the descriptor's own position, so that files opened with O_APPEND, pipes
/// and terminals are all served.
class log_sink::write_line final : public op {
public:
  write_line(log_sink& owner, loop& l) : owner_(owner), loop_(l) {}
  void start() { loop_.submit(*this); }
  void cancel() { loop_.cancel(*this); }

private:
  void prepare(io_uring_sqe& sqe) noexcept override {
    auto left = owner_.in_write_.size() - owner_.write_at_;
    io_uring_prep_write(&sqe, owner_.fd_, owner_.in_write_.data() + owner_.write_at_,
                        unsigned(left), uint64_t(-1));
  }
  void complete(int32_t res, uint32_t) noexcept override { owner_.written(res); }

  log_sink& owner_;
  loop& loop_;
};

log_sink::log_sink(int fd, size_t capacity) : fd_(fd), capacity_(capacity) {
  set_pattern(line_pattern);
  lines_.reserve(4096);
}

log_sink::~log_sink() {
  GANTRY_CHECK(!loop_); // `close` first.
  auto* self = this;
  last_words.compare_exchange_strong(self, nullptr);
}

void log_sink::open(loop& l) {
  GANTRY_CHECK(!loop_);
  loop_ = &l;
  op_ = std::make_unique<write_line>(*this, l);
  l.add_hook(*this);
}

void log_sink::close(nanoseconds limit) {
  if (!loop_)
    return;
  auto& l = *loop_;
  l.remove_hook(*this);
  loop_ = nullptr; // `written` starts no further write.
  bool over = false;
  timer clock(l);
  clock.start(limit, [&over] { over = true; });
  while (op_->in_flight() && !over)
    l.turn(true);
  if (op_->in_flight())
    op_->cancel();
  while (op_->in_flight()) // The worker is signalled; a write that hangs beyond that is the
    l.turn(true);          // kernel's, and the watchdog's.
  op_.reset();
  flush_now();
}

void log_sink::flush_now() noexcept {
  // Not `lock`: in a signal handler the interrupted code may hold it.
  std::unique_lock guard(mutex_, std::try_to_lock);
  if (!guard.owns_lock())
    return;
  if (!op_ || !op_->in_flight()) {
    const char* at = in_write_.data() + write_at_;
    auto left = in_write_.size() - write_at_;
    write_at_once(fd_, at, left);
    write_at_ = in_write_.size() - left;
    if (left > 0)
      return;
  }
  const char* at = lines_.data();
  auto left = lines_.size();
  write_at_once(fd_, at, left);
  lines_.erase(0, lines_.size() - left);
  pending_.store(!lines_.empty(), std::memory_order_release);
}

uint64_t log_sink::dropped() const {
  std::lock_guard guard(mutex_);
  return dropped_;
}

size_t log_sink::waiting() const {
  std::lock_guard guard(mutex_);
  return lines_.size();
}

void log_sink::log(const spdlog::details::log_msg& msg) {
  std::lock_guard guard(mutex_);
  spdlog::memory_buf_t text;
  formatter_->format(msg, text);
  note_drops();
  if (!add({text.data(), text.size()}))
    ++dropped_;
}

bool log_sink::add(std::string_view line) {
  if (broken_ || lines_.size() + line.size() > capacity_)
    return false;
  lines_.append(line);
  if (!pending_.exchange(true, std::memory_order_acq_rel) && loop_)
    loop_->sys().wake(); // From another thread the loop may sleep.
  return true;
}

void log_sink::note_drops() {
  if (dropped_ == dropped_said_)
    return;
  auto text = "log lines were dropped count=" + std::to_string(dropped_ - dropped_said_);
  spdlog::details::log_msg note("", spdlog::level::warn, text);
  spdlog::memory_buf_t line;
  formatter_->format(note, line);
  if (add({line.data(), line.size()}))
    dropped_said_ = dropped_;
}

void log_sink::set_pattern(const std::string& pattern) {
  set_formatter(
    std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc));
}

void log_sink::set_formatter(std::unique_ptr<spdlog::formatter> f) {
  std::lock_guard guard(mutex_);
  formatter_ = std::move(f);
}

void log_sink::run_some() {
  if (!pending_.load(std::memory_order_acquire) || op_->in_flight())
    return;
  std::lock_guard guard(mutex_);
  if (write_at_ < in_write_.size())
    return; // Left from a flush: `written` will go on with it.
  in_write_.swap(lines_);
  lines_.clear();
  write_at_ = 0;
  pending_.store(false, std::memory_order_release);
  if (!in_write_.empty())
    op_->start();
}

bool log_sink::ready() const noexcept {
  return pending_.load(std::memory_order_acquire) && !op_->in_flight();
}

void log_sink::written(int32_t res) {
  switch (res < 0 ? -res : 0) {
  case 0:
    write_at_ += size_t(res);
    if (res > 0 && write_at_ < in_write_.size())
      break;
    write_at_ = in_write_.size();
    break;
  case EINTR:
  case EAGAIN:
  case ECANCELED: // By `close`, which writes the rest.
    break;
  case EFAULT:
    impossible("log write", res);
  case EPIPE:
  case EBADF: {
    std::lock_guard guard(mutex_);
    broken_ = true;
    write_at_ = in_write_.size();
    break;
  }
  default: { // ENOSPC, EIO, EDQUOT …: this batch is lost, the next may fare better.
    std::lock_guard guard(mutex_);
    for (auto c : std::string_view(in_write_).substr(write_at_))
      dropped_ += c == '\n';
    write_at_ = in_write_.size();
  }
  }
  if (write_at_ < in_write_.size() && loop_)
    return op_->start();
  if (write_at_ == in_write_.size()) {
    in_write_.clear();
    write_at_ = 0;
    if (in_write_.capacity() > capacity_ / 4)
      in_write_.shrink_to_fit();
  }
}

std::shared_ptr<spdlog::logger> use_as_this_log(std::shared_ptr<log_sink> sink) {
  last_words.store(sink.get());
  auto logger = std::make_shared<spdlog::logger>("", std::move(sink));
  logger->set_level(spdlog::level::info);
  log_to(logger);
  struct sigaction action {};
  // The handler flushes; the signal, reset to its default, then ends the process as before.
  action.sa_handler = [](int sig) {
    if (auto* s = last_words.load())
      s->flush_now();
    ::raise(sig);
  };
  action.sa_flags = int(SA_RESETHAND | SA_NODEFER);
  for (int sig : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    ::sigaction(sig, &action, nullptr);
  return logger;
}

} // namespace gantry::io
