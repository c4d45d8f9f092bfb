#include "gateways/bus/http2_session.hpp"

#include <array>
#include <nghttp2/nghttp2.h>

#include "messages/check.hpp"

namespace gantry::bus {

namespace {

/// Most fields that a head or trailers of ours have.
constexpr size_t max_fields = 8;

size_t to_nghttp2(std::span<const field> from, std::array<nghttp2_nv, max_fields>& to) {
  GANTRY_CHECK(from.size() <= to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    const auto& f = from[i];
    uint8_t flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    // What is said once (an error's words) would only push the rest out of HPACK's table.
    flags |= f.lasting ? NGHTTP2_NV_FLAG_NO_COPY_VALUE : NGHTTP2_NV_FLAG_NO_INDEX;
    to[i] = {reinterpret_cast<uint8_t*>(const_cast<char*>(f.name.data())),
             reinterpret_cast<uint8_t*>(const_cast<char*>(f.value.data())), f.name.size(),
             f.value.size(), flags};
  }
  return from.size();
}

std::string_view text(const uint8_t* at, size_t size) noexcept {
  return {reinterpret_cast<const char*>(at), size};
}

} // namespace

/// What nghttp2 calls. The user data of a session is ours, that of a stream is its object.
struct http2_session::callbacks {
  static http2_session& self(void* user) noexcept { return *static_cast<http2_session*>(user); }

  static http2_stream* stream(nghttp2_session* s, int32_t id) noexcept {
    return static_cast<http2_stream*>(nghttp2_session_get_stream_user_data(s, id));
  }

  static int begin_headers(nghttp2_session* s, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
      return 0;
    const int32_t id = frame->hd.stream_id;
    auto opened = self(user).host_.open_stream(id);
    nghttp2_session_set_stream_user_data(s, id, opened.get());
    self(user).streams_.emplace(id, std::move(opened));
    return 0;
  }

  static int header(nghttp2_session* s, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    // Trailers of a client mean nothing in gRPC.
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      if (auto* x = stream(s, frame->hd.stream_id))
        x->on_field(text(name, name_size), text(value, value_size));
    return 0;
  }

  static int data(nghttp2_session* s, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                  void*) {
    if (auto* x = stream(s, id))
      x->on_data({reinterpret_cast<const char*>(bytes), size});
    else
      (void)nghttp2_session_consume(s, id, size);
    return 0;
  }

  static int frame_received(nghttp2_session* s, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0)
      self(user).host_.on_settings();
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
      return 0;
    auto* x = stream(s, frame->hd.stream_id);
    if (x == nullptr)
      return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      x->on_head();
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      x->on_end();
    return 0;
  }

  static int frame_sent(nghttp2_session* s, const nghttp2_frame* frame, void*) {
    // The answer is complete: a client that is still sending its request may stop
    // (RFC 9113, 8.1: RST_STREAM with NO_ERROR after the end of the response).
    const int32_t id = frame->hd.stream_id;
    if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        nghttp2_session_get_stream_remote_close(s, id) == 0)
      nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static int stream_closed(nghttp2_session*, int32_t id, uint32_t, void* user) {
    auto& streams = self(user).streams_;
    const auto place = streams.find(id);
    if (place == streams.end())
      return 0;
    const auto gone = std::move(place->second);
    streams.erase(place);
    gone->on_close();
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* into, size_t size, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& x = *static_cast<http2_stream*>(source->ptr);
    const auto got = x.pull({reinterpret_cast<char*>(into), size});
    if (got.last) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      x.on_last();
    } else if (got.bytes == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return ssize_t(got.bytes);
  }

  static nghttp2_session_callbacks* table() {
    static nghttp2_session_callbacks* const made = [] {
      nghttp2_session_callbacks* c = nullptr;
      GANTRY_CHECK(nghttp2_session_callbacks_new(&c) == 0);
      nghttp2_session_callbacks_set_on_begin_headers_callback(c, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(c, header);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, data);
      nghttp2_session_callbacks_set_on_frame_recv_callback(c, frame_received);
      nghttp2_session_callbacks_set_on_frame_send_callback(c, frame_sent);
      nghttp2_session_callbacks_set_on_stream_close_callback(c, stream_closed);
      return c;
    }();
    return made;
  }

  static nghttp2_option* options() {
    static nghttp2_option* const made = [] {
      nghttp2_option* o = nullptr;
      GANTRY_CHECK(nghttp2_option_new(&o) == 0);
      // A closed stream is remembered for priorities only, which we do not use.
      nghttp2_option_set_no_closed_streams(o, 1);
      // Who digests the bytes says so (`consume`): a slow reader holds its client back.
      nghttp2_option_set_no_auto_window_update(o, 1);
      // Answers to PING and SETTINGS that a client does not fetch: more is a flood.
      nghttp2_option_set_max_outbound_ack(o, 256);
      nghttp2_option_set_max_settings(o, 16);
      return o;
    }();
    return made;
  }
};

http2_session::http2_session(http2_host& host, const http2_limits& limits) : host_(host) {
  GANTRY_CHECK(
    nghttp2_session_server_new2(&session_, callbacks::table(), this, callbacks::options()) == 0);
  const std::array settings{
    nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_streams},
    nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
    nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.max_header_bytes},
    nghttp2_settings_entry{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  GANTRY_CHECK(
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0);
  GANTRY_CHECK(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                                     int32_t(limits.connection_window)) == 0);
}

http2_session::~http2_session() {
  for (auto& [id, stream] : streams_)
    stream->on_close();
  nghttp2_session_del(session_);
}

bool http2_session::feed(std::span<const char> bytes) {
  const auto n = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                          bytes.size());
  return n == ssize_t(bytes.size());
}

bool http2_session::collect(std::string& out, size_t enough) {
  while (out.size() < enough) {
    const uint8_t* bytes = nullptr;
    const auto n = nghttp2_session_mem_send(session_, &bytes);
    if (n < 0)
      return false;
    if (n == 0)
      return true;
    out.append(text(bytes, size_t(n)));
  }
  return true;
}

bool http2_session::over() const noexcept {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

size_t http2_session::waiting_frames() const noexcept {
  return nghttp2_session_get_outbound_queue_size(session_);
}

void http2_session::respond(int32_t id, std::span<const field> fields, bool end) {
  std::array<nghttp2_nv, max_fields> nv;
  const size_t n = to_nghttp2(fields, nv);
  nghttp2_data_provider body{};
  body.source.ptr = nghttp2_session_get_stream_user_data(session_, id);
  body.read_callback = callbacks::read_body;
  // The stream may be closing already: then there is nobody to tell.
  (void)nghttp2_submit_response(session_, id, nv.data(), n, end ? nullptr : &body);
}

void http2_session::trail(int32_t id, std::span<const field> fields) {
  std::array<nghttp2_nv, max_fields> nv;
  const size_t n = to_nghttp2(fields, nv);
  (void)nghttp2_submit_trailer(session_, id, nv.data(), n);
}

void http2_session::consume(int32_t id, size_t bytes) {
  (void)nghttp2_session_consume(session_, id, bytes); // Fails only when there is no memory.
}

void http2_session::resume(int32_t id) {
  // Not deferred (yet): then it will be pulled anyway.
  (void)nghttp2_session_resume_data(session_, id);
}

void http2_session::reset(int32_t id, uint32_t code) {
  (void)nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code);
}

void http2_session::go_away() {
  (void)nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                              nullptr, 0);
}

} // namespace gantry::bus
