#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "messages/result.hpp"

namespace gantry::client {

/// The largest message that is accepted from a server; a bug or an attack beyond it.
inline constexpr size_t max_message_bytes = 64u << 20;

/// Cuts the bytes of a response body into gRPC messages (1 byte of flags, 4 bytes of
/// length, big-endian, then the message; grpc.io "gRPC over HTTP2").
class message_cutter {
public:
  using sink = std::function<void(std::string_view message)>;

  /// Hands every message that is complete to `f`, in order. The view dies with the call.
  /// @returns An error when the bytes cannot be gRPC (compressed, or too large).
  result<void> feed(std::string_view bytes, const sink& f);

  /// True when the body ended in the middle of a message.
  [[nodiscard]] bool torn() const noexcept { return !rest_.empty(); }

private:
  std::string rest_; ///< Begins with a prefix, ends before its message does.
};

/// `message` with its prefix, as it stands in a request body.
std::string framed(std::string_view message);

/// Undoes the percent encoding of the trailer `grpc-message`. What is not a valid
/// escape stays as it is.
std::string percent_decoded(std::string_view text);

/// gantry's code for a gRPC status that came without the trailer `gantry-code`.
ec code_of_grpc(int status) noexcept;

} // namespace gantry::client
