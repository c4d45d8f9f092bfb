#include "gateways/client/connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "gateways/client/grpc.hpp"
#include "messages/check.hpp"
#include "messages/unix_address.hpp"

namespace gantry::client {

namespace {

constexpr size_t inbox_bytes = 256u << 10;
constexpr int32_t stream_window = 1 << 20;
constexpr int32_t connection_window = 4 << 20;

error lost(std::string cause) {
  return {ec::unavailable, std::move(cause), {}};
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  // nghttp2 copies both unless told otherwise, and does not write to them.
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

} // namespace

/// One call on its stream.
struct connection::exchange {
  call* which = nullptr; ///< Null when it was forgotten.
  int32_t stream = -1;
  std::string body;
  size_t sent = 0;
  bool talks = false; ///< More body may come.
  message_cutter cutter;
  int http_status = 0;
  int grpc_status = -1;
  std::string grpc_message;
  std::string gantry_code;
  result<void> broken; ///< Why the body cannot be read.

  void take_header(std::string_view name, std::string_view value) {
    if (name == ":status")
      std::from_chars(value.begin(), value.end(), http_status);
    else if (name == "grpc-status")
      std::from_chars(value.begin(), value.end(), grpc_status);
    else if (name == "grpc-message")
      grpc_message = percent_decoded(value);
    else if (name == "gantry-code")
      gantry_code = value;
  }

  /// The call's end, from the trailers.
  [[nodiscard]] result<void> verdict(uint32_t reset_code) const {
    if (!broken)
      return broken;
    if (grpc_status == 0)
      return cutter.torn() ? result<void>(error{ec::internal, "gantryd sent half a message", {}})
                           : result<void>();
    if (grpc_status > 0) {
      const ec code = gantry_code.empty() ? code_of_grpc(grpc_status) : code_named(gantry_code);
      return error{code, grpc_message.empty() ? std::string(name_of(code)) : grpc_message, {}};
    }
    if (reset_code != 0)
      return error{ec::internal,
                   std::string("gantryd reset ") + which->method() + ": " +
                     nghttp2_http2_strerror(reset_code),
                   {}};
    return error{ec::internal,
                 std::string(which->method()) + " was answered without a gRPC status (HTTP " +
                   std::to_string(http_status) + ")",
                 "is that socket gantryd's?"};
  }
};

struct connection::hooks {
  static exchange* of(nghttp2_session* s, int32_t stream) {
    return static_cast<exchange*>(nghttp2_session_get_stream_user_data(s, stream));
  }

  static int on_header(nghttp2_session* s, const nghttp2_frame* f, const uint8_t* name, size_t n,
                       const uint8_t* value, size_t v, uint8_t, void*) {
    if (auto* x = of(s, f->hd.stream_id))
      x->take_header({reinterpret_cast<const char*>(name), n},
                     {reinterpret_cast<const char*>(value), v});
    return 0;
  }

  static int on_data(nghttp2_session* s, uint8_t, int32_t stream, const uint8_t* data, size_t n,
                     void* self) {
    auto* x = of(s, stream);
    if (!x || !x->broken)
      return 0;
    auto& c = *static_cast<connection*>(self);
    x->broken =
      x->cutter.feed({reinterpret_cast<const char*>(data), n}, [x, &c](std::string_view message) {
        c.fruitful_ = true;
        if (x->which)
          x->which->message(message);
      });
    if (!x->broken)
      nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* f, void* self) {
    if (f->hd.type == NGHTTP2_SETTINGS)
      static_cast<connection*>(self)->greeted_ = true;
    return 0;
  }

  static int on_close(nghttp2_session*, int32_t stream, uint32_t code, void* self) {
    static_cast<connection*>(self)->close_exchange(stream, code);
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* to, size_t room, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& x = *static_cast<exchange*>(source->ptr);
    const size_t n = std::min(room, x.body.size() - x.sent);
    std::copy_n(x.body.data() + x.sent, n, to);
    x.sent += n;
    if (x.sent == x.body.size() && x.talks) {
      x.body.clear();
      x.sent = 0;
      if (n == 0)
        return NGHTTP2_ERR_DEFERRED;
    } else if (x.sent == x.body.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return static_cast<ssize_t>(n);
  }
};

result<std::unique_ptr<connection>> connection::open(const std::string& path) {
  const auto at = unix_address_of(path);
  if (!at)
    return error{ec::invalid_argument, "the socket path is too long: " + path,
                 "at most 107 bytes: use a shorter one"};
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return from_errno(errno, "make", "a socket");
  if (::connect(fd, at->get(), at->size) != 0) {
    const int err = errno;
    ::close(fd);
    error why = from_errno(err, "reach gantryd at", path);
    // EAGAIN: its backlog is full, which is an overload and not an absence.
    why.code = err == EACCES || err == EPERM ? ec::permission_denied : ec::unavailable;
    why.cure = err == EACCES || err == EPERM ? "join the socket's group, or run as root"
                                             : "start it: gantryd, or name its socket by --socket";
    if (err == EAGAIN)
      why.cure = "too many clients are waiting: try again";
    return why;
  }
  return std::unique_ptr<connection>(new connection(fd));
}

connection::connection(int fd) : fd_(fd), inbox_(inbox_bytes) {
  nghttp2_session_callbacks* on = nullptr;
  GANTRY_CHECK(nghttp2_session_callbacks_new(&on) == 0);
  nghttp2_session_callbacks_set_on_header_callback(on, &hooks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(on, &hooks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(on, &hooks::on_frame);
  nghttp2_session_callbacks_set_on_stream_close_callback(on, &hooks::on_close);
  GANTRY_CHECK(nghttp2_session_client_new(&session_, on, this) == 0);
  nghttp2_session_callbacks_del(on);
  const std::array settings{
    nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, connection_window);
}

connection::~connection() {
  nghttp2_session_del(session_);
  ::close(fd_);
}

void connection::start(call& c) {
  auto x = std::make_unique<exchange>();
  x->which = &c;
  x->body = framed(c.request());
  x->talks = c.talks();
  const std::array headers{
    header(":method", "POST"),        header(":scheme", "http"),
    header(":path", c.method()),      header(":authority", "gantry"),
    header("te", "trailers"),         header("content-type", "application/grpc"),
    header("user-agent", "gantry/1"),
  };
  nghttp2_data_provider body{};
  body.source.ptr = x.get();
  body.read_callback = &hooks::read_body;
  x->stream =
    nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, x.get());
  if (x->stream < 0) // After GOAWAY, or all stream ids are used up.
    ended_.push_back({&c, true, lost(nghttp2_strerror(x->stream))});
  else
    open_.push_back(std::move(x));
}

void connection::forget(const call& c) {
  std::erase_if(ended_, [&c](const ended& e) { return e.which == &c; });
  for (auto& x : open_)
    if (x->which == &c) {
      x->which = nullptr;
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, x->stream, NGHTTP2_CANCEL);
    }
}

void connection::say(const call& c, std::string_view message) {
  for (auto& x : open_)
    if (x->which == &c && x->talks) {
      x->body.erase(0, std::exchange(x->sent, 0));
      x->body += framed(message);
      (void)nghttp2_session_resume_data(session_, x->stream); // Not deferred: it goes anyway.
    }
}

void connection::end_talk(const call& c) {
  for (auto& x : open_)
    if (x->which == &c && std::exchange(x->talks, false))
      (void)nghttp2_session_resume_data(session_, x->stream);
}

void connection::close_exchange(int32_t stream, uint32_t reset_code) {
  auto it = std::find_if(open_.begin(), open_.end(),
                         [stream](const auto& x) { return x->stream == stream; });
  if (it == open_.end())
    return;
  if (auto* which = (*it)->which) {
    auto how = (*it)->verdict(reset_code);
    const bool refused = (!how && how.why().code == ec::unavailable) ||
                         ((*it)->grpc_status < 0 && reset_code == NGHTTP2_REFUSED_STREAM);
    ended_.push_back({which, refused, std::move(how)});
  }
  open_.erase(it);
}

bool connection::wants_write() const noexcept {
  return !unsent_.empty() || nghttp2_session_want_write(session_) != 0;
}

result<void> connection::flush() {
  while (true) {
    if (unsent_.empty()) {
      // Frames are gathered, so that a request is one system call.
      while (unsent_.size() < inbox_bytes) {
        const uint8_t* data = nullptr;
        const ssize_t n = nghttp2_session_mem_send(session_, &data);
        if (n < 0)
          return lost(nghttp2_strerror(static_cast<int>(n)));
        if (n == 0)
          break;
        unsent_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
      }
      if (unsent_.empty())
        return {};
    }
    const ssize_t n = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return {};
    if (n < 0)
      return lost(std::strerror(errno)); // NOLINT(concurrency-mt-unsafe): one thread
    unsent_.erase(0, static_cast<size_t>(n));
  }
}

result<void> connection::turn(bool readable) {
  result<void> sent = flush();
  // A peer that closed may have said why before: read first, then report the loss.
  for (int round = 0; readable && round < 4; ++round) {
    const ssize_t n = ::recv(fd_, inbox_.data(), inbox_.size(), 0);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      break;
    if (n < 0)
      return lost(std::strerror(errno)); // NOLINT(concurrency-mt-unsafe): one thread
    if (n == 0)
      return lost("the connection was closed");
    const ssize_t used = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(inbox_.data()), static_cast<size_t>(n));
    if (used < 0)
      return error{ec::internal, nghttp2_strerror(static_cast<int>(used)), {}};
    if (static_cast<size_t>(n) < inbox_.size())
      break;
  }
  if (!sent)
    return sent;
  sent = flush();
  if (sent && nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0)
    // One side has ended the session. Without a greeting it was us, over bytes that are no
    // HTTP/2; with one it was gantryd, and nothing is under way any more.
    return greeted_ ? lost("the connection was closed")
                    : error{ec::internal, "it does not speak HTTP/2", {}};
  return sent;
}

std::vector<connection::ended> connection::take_ended() {
  return std::exchange(ended_, {});
}

} // namespace gantry::client
