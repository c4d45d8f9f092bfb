#pragma once

#include <deque>
#include <memory>
#include <string>

#include "tests/sim/sim_source.hpp"

namespace gantry::sim {

/// A pipe: slots of a page each, as pipe(7) and kernel-io facts, section 9, have them.
class pipe final : public source {
public:
  static constexpr size_t page = 4096;

  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] size_t slots() const noexcept { return slots_; }
  [[nodiscard]] bool full() const noexcept { return chunks_.size() >= slots_; }

  ssize_t read(std::span<char> into);
  ssize_t write(std::span<const char> from);
  /// Copies up to `bytes` to another pipe and consumes nothing.
  ssize_t tee(pipe& to, size_t bytes) const;
  /// Moves up to `bytes` to another pipe.
  ssize_t splice(pipe& to, size_t bytes);
  /// F_SETPIPE_SZ without CAP_SYS_RESOURCE.
  int resize(int bytes);

  int readers = 0;
  int writers = 0;
  std::string taken_in; ///< Every byte that was ever accepted, if `keep_history`.
  bool keep_history = false;
  bool packets = false; ///< The writer has set O_DIRECT: each write is a packet.
  [[nodiscard]] uint64_t total() const noexcept { return total_; } ///< Bytes ever accepted.

private:
  struct chunk {
    std::string bytes;
    size_t head = 0;
    bool packet = false; ///< One read takes no more than this, and what it leaves is lost.
    [[nodiscard]] size_t left() const noexcept { return bytes.size() - head; }
  };
  size_t append(std::span<const char> from);

  std::deque<chunk> chunks_;
  size_t size_ = 0;
  size_t slots_ = 16;
  uint64_t total_ = 0;
};

/// One end of a pipe.
class pipe_end final : public description {
public:
  pipe_end(std::shared_ptr<pipe> p, bool writes);
  ~pipe_end() override;

  [[nodiscard]] uint32_t ready() const override;
  [[nodiscard]] source* changes() const override { return pipe_.get(); }
  ssize_t read(std::span<char> into) override;
  ssize_t write(std::span<const char> from) override;
  [[nodiscard]] int readable() const override { return int(pipe_->size()); }

  [[nodiscard]] bool writes() const noexcept { return writes_; }
  [[nodiscard]] const std::shared_ptr<pipe>& the_pipe() const noexcept { return pipe_; }

private:
  std::shared_ptr<pipe> pipe_;
  bool writes_;
};

} // namespace gantry::sim
