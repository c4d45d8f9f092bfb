#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <utility>

#include "messages/check.hpp"

namespace gantry::runtime {

/// So many at a time; the others wait in the order in which they came. On one thread; outlives
/// what it has given.
class permits {
public:
  /// Given back by its destructor.
  class permit {
  public:
    permit() = default;
    explicit permit(permits& from) noexcept : from_(&from) {}
    permit(permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
    permit& operator=(permit&& other) noexcept {
      if (this != &other) {
        give_back();
        from_ = std::exchange(other.from_, nullptr);
      }
      return *this;
    }
    ~permit() { give_back(); }
    [[nodiscard]] explicit operator bool() const noexcept { return from_ != nullptr; }
    void give_back() noexcept {
      if (from_ != nullptr)
        std::exchange(from_, nullptr)->returned();
    }

  private:
    permits* from_ = nullptr;
  };

  /// @param most 0: no limit.
  explicit permits(size_t most) noexcept : most_(most) {}
  permits(const permits&) = delete;
  permits& operator=(const permits&) = delete;

  /// Calls `f` with a permit, now or when one has been given back. One that does not want it any
  /// more lets it fall.
  void ask(std::function<void(permit)> f) {
    waiting_.push_back(std::move(f));
    serve();
  }

  void limit(size_t most) noexcept { most_ = most; } ///< Before the first is asked for.
  [[nodiscard]] bool limited() const noexcept { return most_ > 0; }
  [[nodiscard]] size_t given() const noexcept { return given_; }
  [[nodiscard]] size_t waiting() const noexcept { return waiting_.size(); }

private:
  void returned() {
    GANTRY_CHECK(given_ > 0);
    --given_;
    serve();
  }

  void serve() {
    if (serving_)
      return; // Further down this stack: it goes on there.
    serving_ = true;
    while ((most_ == 0 || given_ < most_) && !waiting_.empty()) {
      const auto f = std::move(waiting_.front());
      waiting_.pop_front();
      ++given_;
      f(permit{*this});
    }
    serving_ = false;
  }

  size_t most_;
  size_t given_ = 0;
  bool serving_ = false;
  std::deque<std::function<void(permit)>> waiting_;
};

} // namespace gantry::runtime
