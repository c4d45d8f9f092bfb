#include "tests/sim/sim_pipes.hpp"

#include <bit>
#include <cstring>

namespace gantry::sim {

ssize_t event_counter::read(std::span<char> into) {
  if (into.size() < sizeof(count_))
    return -EINVAL;
  if (count_ == 0)
    return -EAGAIN;
  std::memcpy(into.data(), &count_, sizeof(count_));
  count_ = 0;
  return sizeof(count_);
}

ssize_t event_counter::write(std::span<const char> from) {
  uint64_t n = 0;
  if (from.size() < sizeof(n))
    return -EINVAL;
  std::memcpy(&n, from.data(), sizeof(n));
  add(n);
  return sizeof(n);
}

ssize_t pipe::read(std::span<char> into) {
  if (size_ == 0)
    return writers > 0 ? -EAGAIN : 0;
  size_t done = 0;
  while (done < into.size() && !chunks_.empty()) {
    auto& c = chunks_.front();
    const size_t n = std::min(c.left(), into.size() - done);
    std::memcpy(into.data() + done, c.bytes.data() + c.head, n);
    c.head += n;
    done += n;
    size_ -= n;
    const bool packet = c.packet;
    if (packet)
      size_ -= c.left();
    if (packet || c.left() == 0)
      chunks_.pop_front();
    if (packet)
      break;
  }
  tell();
  return ssize_t(done);
}

size_t pipe::append(std::span<const char> from) {
  size_t done = 0;
  // The remainder of a page goes into the last slot where it fits as a whole.
  const bool merges = !packets && !chunks_.empty() && !chunks_.back().packet;
  if (const size_t rest = from.size() % page; rest > 0 && merges) {
    auto& last = chunks_.back().bytes;
    if (last.size() + rest <= page) {
      last.append(from.data(), rest);
      done = rest;
    }
  }
  while (done < from.size() && !full()) {
    const size_t n = std::min(page, from.size() - done);
    chunks_.push_back({std::string(from.data() + done, n), 0, packets});
    done += n;
  }
  return done;
}

ssize_t pipe::write(std::span<const char> from) {
  if (readers == 0)
    return -EPIPE;
  if (from.empty())
    return 0;
  const size_t done = append(from);
  if (done == 0)
    return -EAGAIN;
  if (keep_history)
    taken_in.append(from.data(), done);
  size_ += done;
  total_ += done;
  tell();
  return ssize_t(done);
}

ssize_t pipe::tee(pipe& to, size_t bytes) const {
  if (size_ == 0)
    return writers > 0 ? -EAGAIN : 0;
  if (to.readers == 0)
    return -EPIPE;
  size_t done = 0;
  for (const auto& c : chunks_) {
    if (done == bytes || to.full())
      break;
    const size_t n = std::min(c.left(), bytes - done);
    to.chunks_.push_back({c.bytes.substr(c.head, n), 0, c.packet});
    to.size_ += n;
    done += n;
  }
  if (done == 0)
    return -EAGAIN;
  to.tell();
  return ssize_t(done);
}

ssize_t pipe::splice(pipe& to, size_t bytes) {
  const ssize_t moved = tee(to, bytes);
  for (auto left = size_t(std::max<ssize_t>(moved, 0)); left > 0;) {
    auto& c = chunks_.front();
    const size_t n = std::min(c.left(), left);
    c.head += n;
    size_ -= n;
    left -= n;
    if (c.left() == 0)
      chunks_.pop_front();
  }
  if (moved > 0)
    tell();
  return moved;
}

int pipe::resize(int bytes) {
  if (bytes > (1 << 20))
    return -EPERM;
  const size_t wanted = std::bit_ceil(std::max<size_t>(1, (size_t(bytes) + page - 1) / page));
  if (wanted < chunks_.size())
    return -EBUSY;
  slots_ = wanted;
  tell();
  return int(slots_ * page);
}

pipe_end::pipe_end(std::shared_ptr<pipe> p, bool writes) : pipe_(std::move(p)), writes_(writes) {
  ++(writes_ ? pipe_->writers : pipe_->readers);
}

pipe_end::~pipe_end() {
  --(writes_ ? pipe_->writers : pipe_->readers);
  pipe_->tell();
}

uint32_t pipe_end::ready() const {
  if (writes_)
    return (pipe_->full() ? 0u : POLLOUT) | (pipe_->readers == 0 ? POLLERR : 0u);
  return (pipe_->size() > 0 ? POLLIN : 0u) | (pipe_->writers == 0 ? POLLHUP : 0u);
}

ssize_t pipe_end::read(std::span<char> into) { return writes_ ? -EBADF : pipe_->read(into); }

ssize_t pipe_end::write(std::span<const char> from) {
  return writes_ ? pipe_->write(from) : -EBADF;
}

} // namespace gantry::sim
