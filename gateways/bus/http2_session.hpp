#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

struct nghttp2_session;

namespace gantry::bus {

/// One field of a head or of trailers. Names are lower case.
struct field {
  std::string_view name; ///< Outlives the session: a literal.
  std::string_view value;
  bool lasting = false; ///< The value outlives the session too: it is not copied.
};

/// What a stream has to send now.
struct pulled {
  size_t bytes = 0;
  bool last = false; ///< Nothing comes after these bytes but the trailers.
};

/// The server's side of one HTTP/2 stream. All calls come from inside `http2_session::feed`
/// or `collect`; from there the session's `respond`, `trail`, `resume` and `reset` may be
/// called, but not `feed` or `collect`.
class http2_stream {
public:
  virtual ~http2_stream() = default;

  virtual void on_field(std::string_view name, std::string_view value) = 0;
  virtual void on_head() = 0;                            ///< All fields have come.
  virtual void on_data(std::span<const char> bytes) = 0; ///< A piece of the body.
  virtual void on_end() = 0;                             ///< The client has sent everything.
  virtual pulled pull(std::span<char> into) = 0;         ///< Copies what is to be sent next.
  virtual void on_last() = 0;                            ///< Time to call `trail`.
  virtual void on_close() = 0; ///< The stream is gone; the session drops it after this.
};

/// Who makes the streams of a session.
class http2_host {
public:
  virtual ~http2_host() = default;
  virtual std::shared_ptr<http2_stream> open_stream(int32_t id) = 0;
  virtual void on_settings() = 0; ///< The client has proved to speak HTTP/2.
};

/// Limits of one session.
struct http2_limits {
  uint32_t max_streams = 256;
  uint32_t stream_window = 256u << 10;   ///< Bytes a client may send ahead on a stream.
  uint32_t connection_window = 1u << 20; ///< The same for all streams together.
  uint32_t max_header_bytes = 16u << 10; ///< Told to the client; nghttp2 ends above 64 KiB.
};

/// The server's side of one HTTP/2 connection, without any I/O: bytes in, bytes out.
/// One thread.
class http2_session {
public:
  http2_session(http2_host& host, const http2_limits& limits);
  ~http2_session(); ///< Closes what is open (`on_close`).
  http2_session(const http2_session&) = delete;
  http2_session& operator=(const http2_session&) = delete;

  /// Takes bytes from the client. False when the connection is beyond talking: close it.
  [[nodiscard]] bool feed(std::span<const char> bytes);

  /// Appends what is to be sent to `out`, until that has `enough` bytes (a frame more at
  /// most). False when the connection must be closed.
  [[nodiscard]] bool collect(std::string& out, size_t enough);

  /// Nothing will ever be sent or wanted again: close it.
  [[nodiscard]] bool over() const noexcept;

  /// Frames that wait for `collect`, without bodies.
  [[nodiscard]] size_t waiting_frames() const noexcept;

  /// Sends the head; the body is pulled afterwards, unless `end`.
  void respond(int32_t id, std::span<const field> fields, bool end);
  void trail(int32_t id, std::span<const field> fields); ///< From `on_last` only.
  /// So many bytes of the body are digested: the client may send as many more. Each byte of
  /// `on_data` is told of once, also after the stream has gone.
  void consume(int32_t id, size_t bytes);
  void resume(int32_t id);               ///< A `pull` that gave nothing may be tried again.
  void reset(int32_t id, uint32_t code); ///< RST_STREAM with an HTTP/2 error code.
  void go_away();                        ///< No new streams; those that are open go on.

  [[nodiscard]] size_t open_streams() const noexcept { return streams_.size(); }

  /// Calls `f` with each open stream; `f` opens and closes none.
  template <class F>
  void each(F f) {
    for (auto& [id, stream] : streams_)
      f(*stream);
  }

private:
  struct callbacks;
  std::unordered_map<int32_t, std::shared_ptr<http2_stream>> streams_;
  http2_host& host_;
  nghttp2_session* session_ = nullptr;
};

} // namespace gantry::bus
