#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateways/bus/grpc_frame.hpp"
#include "gateways/bus/http2_session.hpp"
#include "gateways/bus/server.hpp"

namespace gantry::bus {

class grpc_call;
struct method;

/// Bytes that may be held at one time, perhaps as a part of a larger budget.
class byte_budget {
public:
  explicit byte_budget(size_t limit, byte_budget* whole = nullptr) noexcept
    : limit_(limit), whole_(whole) {}

  /// Takes `n` bytes here and from the whole; false, and nothing taken, beyond a limit.
  [[nodiscard]] bool take(size_t n) noexcept;
  void give(size_t n) noexcept;
  [[nodiscard]] size_t used() const noexcept { return used_; }

private:
  size_t limit_;
  byte_budget* whole_;
  size_t used_ = 0;
};

/// What the calls of one connection share.
struct call_host {
  call_host(io::loop& l, actors::front& behind, const server_policy& p, const peer& who,
            byte_budget& requests_of_all)
    : loop(l), front(behind), policy(p), by(who.by), caller(role_of(p.roles, who)),
      requests(p.max_request_bytes / 4, &requests_of_all) {}
  virtual ~call_host() = default;

  /// There is something to collect from the session.
  virtual void touch() = 0;

  io::loop& loop;
  actors::front& front;
  const server_policy& policy;
  const v1::By by;
  const role caller; ///< What the peer is to us, as of its connect.
  byte_budget requests;
  size_t unread = 0;     ///< Bytes of replies that wait in the calls.
  bool stopping = false; ///< No new calls.
  http2_session* session = nullptr;
  std::vector<std::weak_ptr<grpc_call>> drained; ///< Calls whose source may be asked again.
};

/// What a streaming call draws its messages from.
class call_source {
public:
  virtual ~call_source() = default;
  /// Asks for more if there is room and nothing was asked yet.
  virtual void ask() = 0;
};

/// Takes the messages of a call whose client sends many. It may end the call.
class call_sink {
public:
  virtual ~call_sink() = default;
  virtual void take(std::string_view message) = 0; ///< The view dies with the return.
  virtual void end() = 0;                          ///< The client has said all it wanted.
};

/// One call of gRPC on a stream: one request message, or many where the method has a sink,
/// then one or many replies, then a status. Answers come later and find it through a weak
/// pointer: a call whose client has gone is dropped, and what it has set going goes on.
class grpc_call final : public http2_stream, public std::enable_shared_from_this<grpc_call> {
public:
  grpc_call(call_host& host, int32_t id);
  ~grpc_call() override;

  [[nodiscard]] call_host& host() noexcept { return host_; }

  /// The status is decided: nothing more can be said. Check this before every answer.
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  /// Bytes that wait to be sent.
  [[nodiscard]] size_t queued() const noexcept { return out_.size() - out_begin_; }

  void push(const google::protobuf::MessageLite& message); ///< One message, more may come.
  void push_bytes(std::string_view message);               ///< The same, serialized already.
  void finish();                                           ///< Status OK.
  void answer(const google::protobuf::MessageLite& message) {
    push(message);
    finish();
  }
  void fail(const error& why);    ///< The error as status and trailers.
  void abandon(const error& why); ///< As `fail`, but does not wait until the queue was read.

  /// Draws from `source` from now on; it dies with the call.
  void draw(std::unique_ptr<call_source> source);
  void ask_source();
  /// As `draw` for a call with one reply: `what` only lives as long as the call.
  void keep(std::unique_ptr<call_source> what);

  /// From the `open` of a method: the messages that come go to `sink`, which dies with the call.
  void receive(std::unique_ptr<call_sink> sink);

  /// `f` is called when the supervisor begins to stop; no plain state of a call needs it but
  /// that of somebody who watches.
  void when_stopping(void (*f)(grpc_call&)) noexcept { on_stopping_ = f; }
  void tell_stopping() {
    if (on_stopping_ != nullptr && !ended_)
      on_stopping_(*this);
  }

  /// While held, the sink gets nothing, and the client may send no more than its window.
  void hold(bool on);

private:
  void on_field(std::string_view name, std::string_view value) override;
  void on_head() override;
  void on_data(std::span<const char> bytes) override;
  void on_end() override;
  pulled pull(std::span<char> into) override;
  void on_last() override;
  void on_close() override;

  void refuse(std::string_view http_status);
  std::optional<error> objection() const;
  void send_head();
  void end(const error* why);
  void retire();
  void arm_deadline();
  bool budget(size_t bytes);
  void take_held();
  void let_go();
  void pushed(size_t before);

  call_host& host_;
  const int32_t id_;
  const method* method_ = nullptr;
  std::string unknown_path_;
  std::optional<io::nanoseconds> timeout_;
  bool is_post_ = false;
  bool is_grpc_ = false;
  bool is_encoded_ = false;
  bool head_sent_ = false;
  bool ended_ = false;
  bool closed_ = false;
  size_t request_bytes_ = 0; ///< Taken from the budget.
  frame_reader request_;
  std::string out_;
  size_t out_begin_ = 0;
  std::unique_ptr<error> why_; ///< Of a status that is not OK.
  std::unique_ptr<call_source> source_;
  std::unique_ptr<call_sink> sink_;
  void (*on_stopping_)(grpc_call&) = nullptr;
  std::string held_bytes_;   ///< Came while held: at most a window.
  bool held_ = false;
  bool taking_ = false;      ///< The sink is being called.
  bool half_closed_ = false; ///< The client has sent everything.
  std::optional<io::timer> deadline_;
};

} // namespace gantry::bus
