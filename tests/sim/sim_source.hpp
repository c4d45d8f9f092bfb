#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <poll.h>
#include <span>
#include <sys/types.h>
#include <vector>

namespace gantry::sim {

class source;

/// Somebody who waits for a change: a request in the kernel, a blocked program.
class listener {
public:
  listener() = default;
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;
  virtual ~listener() { stop_listening(); }

  /// Something about the source has changed. Only notes it: must not touch the source.
  virtual void changed() = 0;

  void listen_to(source& s);
  void stop_listening();
  [[nodiscard]] bool listening() const noexcept { return to_ != nullptr; }

private:
  friend class source;
  source* to_ = nullptr;
};

/// Something whose readiness changes: a pipe, an eventfd, a process, a cgroup file.
class source {
public:
  source() = default;
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  virtual ~source() {
    for (auto* l : listeners_)
      l->to_ = nullptr;
  }

  /// Tells everybody who listens.
  void tell() {
    // By index: a listener may leave while it is told.
    for (size_t i = listeners_.size(); i-- > 0;)
      if (i < listeners_.size())
        listeners_[i]->changed();
  }

private:
  friend class listener;
  std::vector<listener*> listeners_;
};

inline void listener::listen_to(source& s) {
  stop_listening();
  to_ = &s;
  s.listeners_.push_back(this);
}

inline void listener::stop_listening() {
  if (to_)
    std::erase(to_->listeners_, this);
  to_ = nullptr;
}

/// An open file description: what a descriptor of a process refers to. Descriptors that were
/// duplicated or inherited share it; its end is the destructor.
class description {
public:
  description() = default;
  description(const description&) = delete;
  description& operator=(const description&) = delete;
  virtual ~description() = default;

  /// poll(2) bits that are true now.
  [[nodiscard]] virtual uint32_t ready() const { return POLLIN | POLLOUT; }
  /// Whose changes may change `ready`; null where it never changes.
  [[nodiscard]] virtual source* changes() const { return nullptr; }
  /// As read(2) and write(2) with O_NONBLOCK.
  virtual ssize_t read(std::span<char>) { return -EINVAL; }
  virtual ssize_t write(std::span<const char>) { return -EINVAL; }
  [[nodiscard]] virtual int readable() const { return -ENOTTY; }
};

using description_ptr = std::shared_ptr<description>;

/// A counter with a descriptor, as eventfd(2) with EFD_NONBLOCK.
class event_counter final : public description, public source {
public:
  void add(uint64_t n) {
    count_ += n;
    tell();
  }
  [[nodiscard]] uint32_t ready() const override { return POLLOUT | (count_ > 0 ? POLLIN : 0); }
  [[nodiscard]] source* changes() const override { return const_cast<event_counter*>(this); }
  ssize_t read(std::span<char> into) override;
  ssize_t write(std::span<const char> from) override;

private:
  uint64_t count_ = 0;
};

} // namespace gantry::sim
