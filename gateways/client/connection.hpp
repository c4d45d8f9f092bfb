#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gateways/client/call.hpp"

struct nghttp2_session;

namespace gantry::client {

/// One HTTP/2 connection to gantryd over a unix socket, non-blocking: the channel polls
/// and turns it. When it is lost, it is thrown away with all that was under way on it.
class connection {
public:
  /// The end of one call on this connection.
  struct ended {
    call* which;
    bool refused; ///< Nothing is wrong with the call: repeat it on the next connection.
    result<void> how;
  };

  /// Connects; does not wait for the server's greeting.
  static result<std::unique_ptr<connection>> open(const std::string& path);
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  /// Sends the request with the next turns.
  void start(call& c);

  /// Resets the call's stream and speaks of it no more.
  void forget(const call& c);

  /// As of the channel.
  void say(const call& c, std::string_view message);
  void end_talk(const call& c);

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] bool wants_write() const noexcept;

  /// Reads and writes what the socket lets through now.
  /// @param readable Whether to read: a caller that cannot take more leaves it out.
  /// @returns An error when the connection is lost: `unavailable`, or `internal` when
  ///   the peer does not speak HTTP/2.
  result<void> turn(bool readable);

  /// True once the server's SETTINGS have come: somebody is there.
  [[nodiscard]] bool greeted() const noexcept { return greeted_; }

  /// True once any message of a call has come.
  [[nodiscard]] bool fruitful() const noexcept { return fruitful_; }

  /// Calls that have ended since the last time.
  std::vector<ended> take_ended();

private:
  struct exchange;
  struct hooks; ///< nghttp2's callbacks.

  explicit connection(int fd);
  result<void> flush();
  void close_exchange(int32_t stream, uint32_t reset_code);

  int fd_;
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<exchange>> open_;
  std::vector<ended> ended_;
  std::string unsent_; ///< What the socket did not take yet.
  std::vector<char> inbox_;
  bool greeted_ = false;
  bool fruitful_ = false;
};

} // namespace gantry::client
