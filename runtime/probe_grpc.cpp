#include "runtime/probe_grpc.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <nghttp2/nghttp2.h>

#include "messages/check.hpp"
#include "messages/health.pb.h"
#include "runtime/foreign_text.hpp"
#include "runtime/probe_address.hpp"

namespace gantry::runtime {

namespace {

constexpr size_t most_conversation = 256u << 10; ///< Of a whole conversation.
constexpr size_t most_reply = 4096;       ///< Of the reply, which has two bytes.
constexpr size_t most_message = 1024;     ///< Of grpc-message.
constexpr size_t prefix_bytes = 5;        ///< Of a message of gRPC: compressed or not, its length.

/// Codes of gRPC that people meet here.
constexpr int grpc_not_found = 5;
constexpr int grpc_unimplemented = 12;

nghttp2_nv field(std::string_view name, std::string_view value) {
  auto bytes = [](std::string_view s) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(s.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

int code_in(std::string_view text) {
  int out = -1;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

std::string grpc_framed(const std::string& message) {
  std::string out(prefix_bytes, '\0');
  const auto size = static_cast<uint32_t>(message.size());
  for (size_t i = 1; i < prefix_bytes; ++i)
    out[i] = static_cast<char>(size >> (8 * (prefix_bytes - 1 - i)));
  return out + message;
}

class grpc_talk final : public probe_talk {
public:
  explicit grpc_talk(const probe_question& q) : service_(q.service) {
    GANTRY_CHECK(nghttp2_session_client_new(&session_, callbacks(), this) == 0);
    const std::array settings{nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    GANTRY_CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(),
                                         settings.size()) == 0);
    health::v1::HealthCheckRequest request;
    request.set_service(q.service);
    request_ = grpc_framed(request.SerializeAsString());
    const auto authority = q.host.empty() ? ip_address(q).text : q.host;
    const std::array fields{field(":method", "POST"),
                            field(":scheme", over_tls(q.kind) ? "https" : "http"),
                            field(":path", "/grpc.health.v1.Health/Check"),
                            field(":authority", authority),
                            field("te", "trailers"),
                            field("content-type", "application/grpc"),
                            field("user-agent", "gantry-probe")};
    nghttp2_data_provider body{};
    body.source.ptr = this;
    body.read_callback = read_body;
    stream_ = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &body,
                                     nullptr);
    GANTRY_CHECK(stream_ > 0);
  }

  ~grpc_talk() override { nghttp2_session_del(session_); }
  grpc_talk(const grpc_talk&) = delete;
  grpc_talk& operator=(const grpc_talk&) = delete;

  std::string output() override {
    std::string out;
    const uint8_t* bytes = nullptr;
    for (ssize_t n = 0; (n = nghttp2_session_mem_send(session_, &bytes)) > 0;)
      out.append(reinterpret_cast<const char*>(bytes), size_t(n));
    return out;
  }

  state feed(std::string_view bytes) override {
    taken_ += bytes.size();
    const auto n = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    if (closed_)
      return verdict();
    if (n < 0 || broken_ != 0)
      return refuse(std::string{"this is no HTTP/2: "}
                    + nghttp2_strerror(n < 0 ? int(n) : broken_));
    if (taken_ > most_conversation)
      return refuse("it says more than 262144 bytes and gives no answer");
    if (nghttp2_session_want_read(session_) == 0)
      return refuse("it ended the connection without an answer");
    return state::more;
  }

  state end() override {
    return refuse(taken_ == 0 ? "it closed the connection without an answer"
                              : "it closed the connection within its answer");
  }

  [[nodiscard]] std::string text() const override { return text_; }

private:
  state refuse(std::string why) {
    text_ = std::move(why);
    return state::failed;
  }

  state verdict() {
    if (reset_ != 0 && grpc_status_ < 0)
      return refuse(std::string{"it refused the call: "} + nghttp2_http2_strerror(reset_));
    if (http_status_ != 200)
      return refuse("this is no answer of gRPC: HTTP status " + std::to_string(http_status_));
    if (grpc_status_ == grpc_not_found)
      return refuse("it does not know the service " + shown(service_));
    if (grpc_status_ == grpc_unimplemented)
      return refuse("it has no health service (grpc.health.v1.Health)");
    if (grpc_status_ != 0)
      return refuse("grpc-status " + std::to_string(grpc_status_) + ": " + shown(message_));
    health::v1::HealthCheckResponse reply;
    if (reply_.size() < prefix_bytes || reply_[0] != 0
        || grpc_framed(reply_.substr(prefix_bytes)) != reply_
        || !reply.ParseFromString(reply_.substr(prefix_bytes)))
      return refuse("its answer is no message of the health service");
    text_ = health::v1::HealthCheckResponse::ServingStatus_Name(reply.status());
    if (text_.empty())
      text_ = "status " + std::to_string(int(reply.status()));
    return reply.status() == health::v1::HealthCheckResponse::SERVING ? state::passed
                                                                      : state::failed;
  }

  static grpc_talk& me(void* user) { return *static_cast<grpc_talk*>(user); }

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* into, size_t size, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& self = me(source->ptr);
    const auto n = std::min(size, self.request_.size());
    std::copy_n(self.request_.data(), n, into);
    self.request_.erase(0, n);
    if (self.request_.empty())
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    return ssize_t(n);
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* user) {
    auto& self = me(user);
    if (frame->hd.stream_id != self.stream_)
      return 0;
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":status")
      self.http_status_ = code_in(text);
    else if (key == "grpc-status")
      self.grpc_status_ = code_in(text);
    else if (key == "grpc-message")
      self.message_ = text.substr(0, most_message);
    return 0;
  }

  static int data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* bytes, size_t size,
                  void* user) {
    auto& self = me(user);
    if (stream == self.stream_ && self.reply_.size() + size <= most_reply)
      self.reply_.append(reinterpret_cast<const char*>(bytes), size);
    else
      self.reply_.assign(1, '\1'); // None that could be meant.
    return 0;
  }

  static int stream_closed(nghttp2_session*, int32_t stream, uint32_t code, void* user) {
    auto& self = me(user);
    if (stream == self.stream_) {
      self.closed_ = true;
      self.reset_ = code;
    }
    return 0;
  }

  /// What it sent breaks the protocol: the session only says goodbye from now on.
  static int broken(nghttp2_session*, int code, const char*, size_t, void* user) {
    me(user).broken_ = code;
    return 0;
  }

  static nghttp2_session_callbacks* callbacks() {
    static nghttp2_session_callbacks* const made = [] {
      nghttp2_session_callbacks* c = nullptr;
      GANTRY_CHECK(nghttp2_session_callbacks_new(&c) == 0);
      nghttp2_session_callbacks_set_on_header_callback(c, header);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data);
      nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_closed);
      nghttp2_session_callbacks_set_error_callback2(c, broken);
      return c;
    }();
    return made;
  }

  std::string service_;
  std::string request_; ///< What of it has not been sent.
  nghttp2_session* session_ = nullptr;
  int32_t stream_ = 0;
  size_t taken_ = 0;
  int http_status_ = 0;
  int grpc_status_ = -1;
  std::string message_;
  std::string reply_;
  bool closed_ = false;
  int broken_ = 0; ///< A code of nghttp2.
  uint32_t reset_ = 0;
  std::string text_;
};

} // namespace

std::unique_ptr<probe_talk> grpc_talk_of(const probe_question& q) {
  return std::make_unique<grpc_talk>(q);
}

} // namespace gantry::runtime
