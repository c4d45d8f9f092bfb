#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

namespace gantry::io {

/// Bytes that are being put together, on pages of their own: giving it up returns the
/// memory to the system at once, which a heap does not promise. Movable, not copyable.
class page_buffer {
public:
  page_buffer() = default;
  page_buffer(page_buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}
  page_buffer& operator=(page_buffer&& other) noexcept;
  ~page_buffer();

  /// Makes sure that `more` bytes can be written behind the end.
  /// @returns where they go; say with `grew` how many there are.
  char* room(size_t more) {
    if (size_ + more > capacity_)
      extend(size_ + more);
    return data_ + size_;
  }
  void grew(size_t bytes) noexcept { size_ += bytes; }

  void append(std::string_view bytes) {
    std::memcpy(room(bytes.size()), bytes.data(), bytes.size());
    size_ += bytes.size();
  }

  void clear() noexcept { size_ = 0; } ///< Keeps the memory.
  void shrink(size_t size) noexcept { size_ = size; }
  [[nodiscard]] size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::span<const char> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::string_view text() const noexcept { return {data_, size_}; }

private:
  void extend(size_t needed); ///< Aborts when the system has no memory.

  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

} // namespace gantry::io
