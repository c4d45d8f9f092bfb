#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gantry::metrics {

/// The head of an HTTP/1.x request, as far as we want to know it.
struct http_request {
  std::string method;
  std::string path; ///< Without the query.
  bool keep_alive = true;
  bool openmetrics = false; ///< Its Accept names that format.
};

/// Reads requests from the bytes of a connection: no input, no output, bounded memory. What is
/// wrong ends it with the status that should be said. RFC 9112; a request with a body is not
/// for us and refused.
class http_reader {
public:
  enum class state : uint8_t { more, ready, bad };

  /// A head that is longer is refused (431); each line of it, too.
  static constexpr size_t max_head = 8192;

  /// So much may be fed at a time: what is kept is less than a head and a piece.
  static constexpr size_t max_piece = 4096;

  /// Takes bytes, of which some may belong to the next request. Not in `ready`.
  state feed(std::string_view bytes);

  /// Only in `ready`: the request, and on to the next one.
  http_request take();

  /// Looks for the next request in what was fed already.
  state again() { return feed({}); }

  [[nodiscard]] int status() const noexcept { return status_; } ///< Of a bad one.
  [[nodiscard]] bool begun() const noexcept { return !waiting_.empty(); }

private:
  state refuse(int status);
  bool parse(std::string_view head);
  bool parse_first(std::string_view line);
  bool parse_field(std::string_view line);

  std::string waiting_;
  http_request found_;
  int status_ = 0;
};

/// The reply's head and body, ready to be sent.
std::string http_reply(int status, std::string_view type, std::string_view body, bool keep_alive,
                       bool with_body = true);

} // namespace gantry::metrics
