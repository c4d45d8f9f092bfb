#include "gateways/bus/connection.hpp"

#include <cerrno>
#include <poll.h>

namespace gantry::bus {

namespace {

/// Bytes collected for one send: a socket's buffer takes about 200 KiB.
constexpr size_t send_bytes = 64u << 10;

/// An idle connection keeps no larger buffer than this.
constexpr size_t kept_bytes = 4096;

/// Frames (heads, resets, acknowledgements) that a client may leave unread before it is
/// no longer listened to.
constexpr size_t max_waiting_frames = 1024;

http2_limits limits_of(const server_policy& policy) {
  http2_limits out;
  out.max_streams = uint32_t(policy.max_streams);
  return out;
}

} // namespace

connection::connection(connection_owner& owner, io::loop& l, io::fd socket, actors::front& behind,
                       const server_policy& p, const peer& who, byte_budget& requests_of_all)
  : call_host(l, behind, p, who, requests_of_all), owner_(owner),
    socket_(std::move(socket)), poll_(l), send_(l), handshake_(l),
    session_(std::make_unique<http2_session>(*this, limits_of(p))) {
  session = session_.get();
}

connection::~connection() {
  GANTRY_CHECK(at_rest());
}

void connection::start() {
  handshake_.start(policy.idle_handshake, [this] { close(); });
  arm();
  touch();
}

void connection::arm() {
  poll_.start(socket_.get(), POLLIN, [this](int32_t res) { on_readable(res); });
}

void connection::on_readable(int32_t res) {
  if (session_ == nullptr)
    return touch(); // closed: the owner looks whether we are at rest
  if (res < 0)
    return close();
  const auto into = owner_.scratch();
  const ssize_t n = loop.sys().read(socket_.get(), into);
  if (n == -EAGAIN || n == -EINTR)
    return arm();
  if (n <= 0 || !session_->feed(into.first(size_t(n))))
    return close();
  touch();
  // A client that asks and never reads the answers is not heard until it does.
  if (!send_.in_flight() || session_->waiting_frames() < max_waiting_frames)
    arm();
}

void connection::flush() {
  if (session_ == nullptr || send_.in_flight())
    return;
  if (!session_->collect(out_, send_bytes))
    return close();
  ask_sources();
  if (!out_.empty())
    return send_rest();
  if (session_->over())
    return close();
  if (!poll_.in_flight())
    arm();
}

void connection::ask_sources() {
  for (const auto& weak : std::exchange(drained, {}))
    if (const auto c = weak.lock())
      c->ask_source();
}

void connection::send_rest() {
  send_.start(socket_.get(), std::span(out_).subspan(sent_), [this](int32_t res) { on_sent(res); });
}

void connection::on_sent(int32_t res) {
  if (session_ == nullptr)
    return touch();
  if (res < 0 && res != -EAGAIN && res != -EINTR)
    return close();
  if (res > 0)
    sent_ += size_t(res);
  if (sent_ < out_.size())
    return send_rest();
  sent_ = 0;
  out_.clear();
  if (out_.capacity() > kept_bytes)
    std::string().swap(out_);
  flush();
}

void connection::go_away() {
  stopping = true;
  if (session_ == nullptr)
    return;
  session_->each([](http2_stream& s) { static_cast<grpc_call&>(s).tell_stopping(); });
  session_->go_away();
  touch();
}

void connection::fail_calls(const error& e) {
  if (session_ == nullptr)
    return;
  session_->each([&e](http2_stream& s) {
    if (auto& call = static_cast<grpc_call&>(s); !call.ended())
      call.fail(e);
  });
  touch();
}

void connection::close() {
  if (session_ == nullptr)
    return;
  handshake_.cancel();
  session_.reset();
  session = nullptr;
  drained.clear();
  if (poll_.in_flight())
    poll_.cancel();
  if (send_.in_flight())
    send_.cancel();
  touch();
}

std::shared_ptr<http2_stream> connection::open_stream(int32_t id) {
  return std::make_shared<grpc_call>(*this, id);
}

} // namespace gantry::bus
