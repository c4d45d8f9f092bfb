#pragma once

#include <memory>
#include <string>

#include "gateways/bus/grpc_call.hpp"
#include "gateways/bus/http2_session.hpp"
#include "io/ops.hpp"

namespace gantry::bus {

class connection;

/// What the connections of a server share.
struct connection_owner {
  virtual ~connection_owner() = default;
  /// Calls `flush` on `c` once, later in this turn or in the next one.
  virtual void touch(connection& c) = 0;
  /// For one read: empty again when the read has been digested.
  virtual std::span<char> scratch() noexcept = 0;
};

/// One client: descriptor, session and calls. While nothing happens it holds a poll and no
/// buffer. One send is in flight at most; what the client does not read stays in its calls,
/// which are bounded.
class connection final : public http2_host, public call_host {
public:
  connection(connection_owner& owner, io::loop& l, io::fd socket, actors::front& behind,
             const server_policy& policy, const peer& who, byte_budget& requests_of_all);
  ~connection() override;

  void start();
  void flush();                    ///< Sends what is there, closes what is over.
  void go_away();                  ///< No new calls.
  void fail_calls(const error& e); ///< Ends every open call.
  void close();                    ///< At once; then wait until `at_rest`.

  /// Closed, and the kernel holds nothing of it: may be destroyed.
  [[nodiscard]] bool at_rest() const noexcept {
    return session_ == nullptr && !poll_.in_flight() && !send_.in_flight();
  }

  bool touched = false; ///< The owner's mark: `flush` is due.

private:
  std::shared_ptr<http2_stream> open_stream(int32_t id) override;
  void on_settings() override { handshake_.cancel(); }
  void touch() override { owner_.touch(*this); }

  void arm();
  void on_readable(int32_t res);
  void on_sent(int32_t res);
  void send_rest();
  void ask_sources();

  connection_owner& owner_;
  io::fd socket_;
  io::poll_op poll_;
  io::send_op send_;
  io::timer handshake_;
  std::string out_; ///< Being sent.
  size_t sent_ = 0;
  std::unique_ptr<http2_session> session_; ///< Null once closed.
};

} // namespace gantry::bus
