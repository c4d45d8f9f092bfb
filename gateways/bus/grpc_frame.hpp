#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/kernel.hpp"
#include "messages/result.hpp"

namespace google::protobuf {
class MessageLite;
}

namespace gantry::bus {

/// Bytes before each message of gRPC: a flag (compressed or not) and a length, big-endian
/// (gRPC over HTTP/2, Length-Prefixed-Message).
inline constexpr size_t prefix_bytes = 5;

/// Collects the messages of a request from the pieces in which they come, one at a time.
/// Memory grows with the bytes that came, never with the length that was claimed.
class frame_reader {
public:
  explicit frame_reader(size_t max_message_bytes) noexcept : max_(max_message_bytes) {}

  /// Takes the next bytes. An error (too large, compressed, a second message) is final.
  result<void> feed(std::span<const char> bytes);

  /// Takes the next bytes up to the end of the message that comes, and tells how many. An
  /// error is final.
  result<size_t> feed_one(std::span<const char> bytes);

  /// Lets go of the message: the next one may come.
  void next() noexcept;

  /// The message is there as a whole.
  [[nodiscard]] bool whole() const noexcept {
    return prefix_have_ == prefix_bytes && body_.size() == length_;
  }

  /// Not a single byte has come.
  [[nodiscard]] bool empty() const noexcept { return prefix_have_ == 0; }

  /// Bytes of the message that have come, with its prefix.
  [[nodiscard]] size_t bytes() const noexcept { return prefix_have_ + body_.size(); }

  /// The message, once it is whole.
  [[nodiscard]] std::string_view message() const noexcept { return body_; }

  /// Gives the memory back.
  void forget() noexcept { std::string().swap(body_); }

private:
  result<void> read_prefix();

  size_t max_;
  size_t length_ = 0;
  size_t prefix_have_ = 0;
  char prefix_[prefix_bytes] = {};
  std::string body_;
};

/// Appends `message` with its prefix to `out`. A message is smaller than 2 GiB (protobuf's
/// own limit).
void append_frame(std::string& out, const google::protobuf::MessageLite& message);

/// The same for a message that is serialized already.
void append_frame(std::string& out, std::string_view message);

/// Percent-encoding of `grpc-message`: what is not printable ASCII, and the percent sign,
/// become %XX. At most about `max_bytes` come out, cut between two characters, with three
/// dots where something was cut: clients refuse long trailers (8 KiB by default in the
/// common ones).
std::string percent_encode(std::string_view text, size_t max_bytes);

/// The inverse; a stray percent sign stays as it is.
std::string percent_decode(std::string_view text);

/// The value of `grpc-timeout`: one to eight digits and a unit (H M S m u n).
std::optional<io::nanoseconds> parse_timeout(std::string_view text) noexcept;

} // namespace gantry::bus
