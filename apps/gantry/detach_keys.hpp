#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "messages/result.hpp"

namespace gantry::cli {

inline constexpr std::string_view usual_detach_keys = "ctrl-p,ctrl-q";

/// Understands a key sequence: keys with commas between; a key is one character, or `ctrl-`
/// and one of a-z @ [ \ ] ^ _. Empty text: no keys, nobody detaches by them.
/// @returns the bytes that a terminal sends for it.
result<std::string> parse_detach_keys(std::string_view text);

/// Looks for the sequence in what is typed. What may be its beginning is held back; when it
/// is not, it goes on with the rest: nothing is lost but the sequence itself.
class detach_filter {
public:
  explicit detach_filter(std::string keys) : keys_(std::move(keys)) {}

  struct outcome {
    std::string pass;      ///< For the process.
    bool detached = false; ///< The sequence came; what stood behind it is dropped.
  };
  outcome feed(std::string_view typed);

  /// Bytes are held back: after a while of silence they are none of ours.
  [[nodiscard]] bool holds() const noexcept { return held_ > 0; }
  /// What was held back, for the process.
  std::string let_go();

private:
  std::string keys_;
  size_t held_ = 0; ///< So many bytes of `keys_` have come.
};

} // namespace gantry::cli
