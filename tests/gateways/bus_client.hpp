#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct nghttp2_session;

namespace gantry::test {

/// What has come back on one stream so far.
struct bus_answer {
  std::map<std::string, std::string> fields; ///< Of head and trailers.
  std::string body;
  bool head = false; ///< The head has come.
  bool closed = false;
  uint32_t reset = 0; ///< HTTP/2 error code of the close.

  [[nodiscard]] std::string field(const std::string& name) const;
  [[nodiscard]] int status() const; ///< grpc-status; -1 where there is none.
  /// The messages that are whole.
  [[nodiscard]] std::vector<std::string> messages() const;
};

using field_list = std::vector<std::pair<std::string, std::string>>;

/// One message with its prefix.
std::string framed(std::string_view message);

/// A client of the bus that does only what it is told, good or bad. Nothing waits: `step`
/// moves what can be moved.
class bus_client {
public:
  explicit bus_client(const std::string& socket_path);
  ~bus_client();
  bus_client(const bus_client&) = delete;
  bus_client& operator=(const bus_client&) = delete;

  /// Begins to speak HTTP/2: preface and settings.
  void greet(uint32_t stream_window = 65535);

  /// Begins a call with `body` as it is; `end` closes our side behind it.
  int32_t begin(const std::string& path, std::string body, bool end = true,
                const field_list& more = {});
  /// The same with one message.
  int32_t call(const std::string& path, std::string_view message, const field_list& more = {}) {
    return begin(path, framed(message), true, more);
  }
  /// Begins a call with exactly these fields, and no body.
  int32_t begin_with(const field_list& fields);

  void send_more(int32_t id, std::string bytes, bool end);
  void reset(int32_t id, uint32_t code = 8);

  void send_raw(std::string bytes) { raw_ += std::move(bytes); }
  void ping();
  void drop(); ///< Closes the socket at once.

  bool reads = true;            ///< Whether `step` reads at all.
  bool drops_raw_input = false; ///< What comes is counted, not understood.

  /// Moves bytes, without waiting.
  void step();

  bus_answer& at(int32_t id) { return answers_[id]; }
  void forget(int32_t id); ///< A call that is closed.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] bool gone() const noexcept { return gone_; } ///< The server has closed.
  [[nodiscard]] bool told_to_go() const noexcept { return goaway_; }
  [[nodiscard]] size_t bytes_read() const noexcept { return bytes_read_; }
  [[nodiscard]] uint32_t max_streams() const;
  [[nodiscard]] bool all_sent() const;
  /// Bytes of a body that the server does not let in yet.
  [[nodiscard]] size_t unsent(int32_t id) const;

private:
  struct callbacks;
  struct body_source {
    std::string bytes;
    size_t at = 0;
    bool end = true;
  };
  void read_some();
  void write_some();

  int fd_ = -1;
  nghttp2_session* session_ = nullptr;
  std::string raw_;
  std::map<int32_t, bus_answer> answers_;
  std::map<int32_t, std::unique_ptr<body_source>> bodies_;
  bool gone_ = false;
  bool goaway_ = false;
  size_t bytes_read_ = 0;
};

} // namespace gantry::test
