#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gantry::runtime {

/// The beginning of what a probe wrote, as valid UTF-8: fed in pieces, however many come.
class probe_output {
public:
  /// @param most_bytes Of the text; what comes behind is only counted.
  explicit probe_output(size_t most_bytes) : most_(most_bytes) {}

  void feed(std::string_view piece);

  /// The text. Each byte that is no UTF-8 has become U+FFFD; no character is cut. What was left
  /// out is shown by `...` behind it, within the bytes.
  [[nodiscard]] std::string text() const;

  [[nodiscard]] uint64_t total_bytes() const noexcept { return total_; }

private:
  size_t most_;
  std::string kept_; ///< As it came: as many bytes as can matter.
  uint64_t total_ = 0;
};

} // namespace gantry::runtime
