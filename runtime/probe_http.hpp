#pragma once

#include <string>
#include <string_view>

#include "runtime/health_policy.hpp"

namespace gantry::runtime {

/// The request that a probe of this kind sends: GET, HTTP/1.1, one for a connection.
/// @param q Of kind http or https, checked.
std::string probe_request(const probe_question& q);

/// Reads the status of the answer to a probe from the bytes of its connection: no input, no
/// output, bounded memory. Interim answers (1xx) are skipped; nothing behind the final status
/// line is looked at. RFC 9112.
class probe_answer {
public:
  enum class state : uint8_t { more, ready, bad };

  /// A status line, with the interim answers before it, that takes more is refused.
  static constexpr size_t max_bytes = 65536;

  /// Takes the next bytes. Not after `ready`.
  state feed(std::string_view bytes);

  /// The connection has ended.
  state end();

  [[nodiscard]] int status() const noexcept { return status_; } ///< Only in `ready`.
  [[nodiscard]] const std::string& first_line() const noexcept { return line_; } ///< The same.
  [[nodiscard]] const std::string& why() const noexcept { return why_; }          ///< In `bad`.

private:
  state refuse(std::string why);
  state take_line(std::string_view line);

  std::string waiting_;     ///< A line that has not come to its end.
  size_t taken_ = 0;        ///< Bytes, in all.
  bool in_interim_ = false; ///< In the head of a 1xx.
  int status_ = 0;
  std::string line_;
  std::string why_;
};

} // namespace gantry::runtime
