#pragma once

#include <functional>
#include <memory>

#include "io/kernel.hpp"
#include "io/loop.hpp"
#include "io/poll.hpp"

namespace gantry::io {

/// A poll whose owner may go at any time: the op, and the descriptor if it is ours, live on
/// until the kernel has let go of them. The loop must still be turned (`loop::drain`).
class held_poll {
public:
  held_poll() = default;
  held_poll(const held_poll&) = delete;
  held_poll& operator=(const held_poll&) = delete;
  ~held_poll() { drop(); }

  /// Waits once for `events` on a descriptor of somebody else, who keeps it open until the
  /// callback, or for a turn of the loop after `drop`. At rest only.
  void start(loop& l, int number, uint32_t events, std::function<void(int32_t)> f) {
    GANTRY_CHECK(!body_ || !body_->op.in_flight());
    if (!body_)
      body_ = std::make_shared<body>(l);
    body_->on_ready = std::move(f);
    // The callback holds the body for as long as the kernel holds the op.
    body_->op.start(number, events, [b = body_](int32_t ready) {
      if (auto on_ready = std::exchange(b->on_ready, nullptr))
        on_ready(ready);
    });
  }

  /// The same on a descriptor that is closed with this poll, when it is safe.
  void start(loop& l, fd file, uint32_t events, std::function<void(int32_t)> f) {
    GANTRY_CHECK(!body_);
    auto number = file.get();
    body_ = std::make_shared<body>(l);
    body_->file = std::move(file);
    start(l, number, events, std::move(f));
  }

  /// No callback will come any more.
  void drop() {
    if (!body_)
      return;
    body_->on_ready = nullptr;
    if (body_->op.in_flight())
      body_->op.cancel();
    body_.reset();
  }

  /// The same; `f` is called once nothing of it is left: not even a descriptor of its own.
  void drop(loop& l, std::function<void()> f) {
    if (waiting()) {
      body_->over = [&l, f = std::move(f)] { l.post(f); };
      return drop();
    }
    drop();
    l.post(std::move(f));
  }

  /// Waits once more, on the descriptor of its own. At rest only.
  void again(loop& l, uint32_t events, std::function<void(int32_t)> f) {
    GANTRY_CHECK(body_ && body_->file);
    start(l, body_->file.get(), events, std::move(f));
  }

  /// Whether it was ever started: then a descriptor of its own is still open.
  [[nodiscard]] bool started() const noexcept { return body_ != nullptr; }
  [[nodiscard]] bool waiting() const noexcept { return body_ && body_->op.in_flight(); }

private:
  struct body {
    explicit body(loop& l) noexcept : op(l) {}
    ~body() {
      file.reset();
      if (over)
        over();
    }
    poll_op op;
    fd file;
    std::function<void(int32_t)> on_ready;
    std::function<void()> over;
  };
  std::shared_ptr<body> body_;
};

} // namespace gantry::io
