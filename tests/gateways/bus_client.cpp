#include "tests/gateways/bus_client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "messages/check.hpp"

namespace gantry::test {

std::string bus_answer::field(const std::string& name) const {
  const auto place = fields.find(name);
  return place == fields.end() ? "" : place->second;
}

int bus_answer::status() const {
  const auto text = field("grpc-status");
  return text.empty() ? -1 : std::stoi(text);
}

std::vector<std::string> bus_answer::messages() const {
  std::vector<std::string> out;
  std::string_view rest = body;
  while (rest.size() >= 5) {
    size_t length = 0;
    for (size_t i = 1; i < 5; ++i)
      length = length << 8 | static_cast<unsigned char>(rest[i]);
    if (rest.size() < 5 + length)
      break;
    out.emplace_back(rest.substr(5, length));
    rest.remove_prefix(5 + length);
  }
  return out;
}

std::string framed(std::string_view message) {
  const size_t n = message.size();
  std::string out{char(0), char(n >> 24), char(n >> 16), char(n >> 8), char(n)};
  return out.append(message);
}

struct bus_client::callbacks {
  static bus_client& self(void* user) { return *static_cast<bus_client*>(user); }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* user) {
    self(user).answers_[frame->hd.stream_id].fields.insert_or_assign(
      std::string(reinterpret_cast<const char*>(name), name_size),
      std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_HEADERS)
      self(user).answers_[frame->hd.stream_id].head = true;
    if (frame->hd.type == NGHTTP2_GOAWAY)
      self(user).goaway_ = true;
    return 0;
  }

  static int data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size,
                  void* user) {
    self(user).answers_[id].body.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }

  static int closed(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    self(user).answers_[id].closed = true;
    self(user).answers_[id].reset = code;
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, int32_t, uint8_t* into, size_t size, uint32_t* flags,
                           nghttp2_data_source* source, void*) {
    auto& body = *static_cast<body_source*>(source->ptr);
    const size_t n = std::min(size, body.bytes.size() - body.at);
    std::copy_n(body.bytes.data() + body.at, n, into);
    body.at += n;
    if (body.at < body.bytes.size())
      return ssize_t(n);
    if (body.end)
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (n == 0)
      return NGHTTP2_ERR_DEFERRED;
    return ssize_t(n);
  }
};

bus_client::bus_client(const std::string& socket_path) {
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  GANTRY_CHECK(fd_ >= 0);
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  GANTRY_CHECK(socket_path.size() < sizeof to.sun_path);
  std::copy(socket_path.begin(), socket_path.end(), to.sun_path);
  GANTRY_CHECK(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
}

bus_client::~bus_client() {
  drop();
}

void bus_client::drop() {
  if (session_ != nullptr)
    nghttp2_session_del(std::exchange(session_, nullptr));
  if (fd_ >= 0)
    ::close(std::exchange(fd_, -1));
}

void bus_client::greet(uint32_t stream_window) {
  nghttp2_session_callbacks* table = nullptr;
  GANTRY_CHECK(nghttp2_session_callbacks_new(&table) == 0);
  nghttp2_session_callbacks_set_on_header_callback(table, callbacks::header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(table, callbacks::frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, callbacks::data);
  nghttp2_session_callbacks_set_on_stream_close_callback(table, callbacks::closed);
  GANTRY_CHECK(nghttp2_session_client_new(&session_, table, this) == 0);
  nghttp2_session_callbacks_del(table);
  const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window};
  GANTRY_CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1) == 0);
}

int32_t bus_client::begin(const std::string& path, std::string body, bool end,
                          const field_list& more) {
  field_list fields{{":method", "POST"}, {":scheme", "http"},
                    {":path", path},     {":authority", "localhost"},
                    {"te", "trailers"},  {"content-type", "application/grpc"}};
  for (const auto& f : more) {
    const auto same = std::find_if(fields.begin(), fields.end(),
                                   [&f](const auto& x) { return x.first == f.first; });
    if (same == fields.end())
      fields.push_back(f);
    else
      same->second = f.second;
  }
  auto source = std::make_unique<body_source>();
  source->bytes = std::move(body);
  source->end = end;
  std::vector<nghttp2_nv> nv;
  for (auto& [name, value] : fields)
    nv.push_back({reinterpret_cast<uint8_t*>(name.data()), reinterpret_cast<uint8_t*>(value.data()),
                  name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  nghttp2_data_provider provider{};
  provider.source.ptr = source.get();
  provider.read_callback = callbacks::read_body;
  const int32_t id =
    nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), &provider, nullptr);
  GANTRY_CHECK(id > 0);
  bodies_[id] = std::move(source);
  return id;
}

int32_t bus_client::begin_with(const field_list& fields) {
  std::vector<nghttp2_nv> nv;
  for (const auto& [name, value] : fields)
    nv.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                  reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                  value.size(), NGHTTP2_NV_FLAG_NONE});
  const int32_t id =
    nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), nullptr, nullptr);
  GANTRY_CHECK(id > 0);
  return id;
}

void bus_client::send_more(int32_t id, std::string bytes, bool end) {
  auto& body = *bodies_.at(id);
  body.bytes += bytes;
  body.end = end;
  (void)nghttp2_session_resume_data(session_, id);
}

void bus_client::reset(int32_t id, uint32_t code) {
  GANTRY_CHECK(nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, code) == 0);
}

void bus_client::forget(int32_t id) {
  answers_.erase(id);
  bodies_.erase(id);
}

void bus_client::ping() {
  GANTRY_CHECK(nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr) == 0);
}

uint32_t bus_client::max_streams() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool bus_client::all_sent() const {
  return raw_.empty() && (session_ == nullptr || nghttp2_session_want_write(session_) == 0);
}

size_t bus_client::unsent(int32_t id) const {
  const auto& body = *bodies_.at(id);
  return body.bytes.size() - body.at;
}

void bus_client::step() {
  if (fd_ < 0 || gone_)
    return;
  write_some();
  if (!reads)
    return;
  read_some();
  write_some(); // acknowledgements and windows, which the server may wait for
}

void bus_client::write_some() {
  while (raw_.size() < 65536 && session_ != nullptr) {
    const uint8_t* bytes = nullptr;
    const auto n = nghttp2_session_mem_send(session_, &bytes);
    if (n <= 0)
      break;
    raw_.append(reinterpret_cast<const char*>(bytes), size_t(n));
  }
  if (raw_.empty())
    return;
  const auto n = ::send(fd_, raw_.data(), raw_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n > 0)
    raw_.erase(0, size_t(n));
  else if (errno != EAGAIN && !reads)
    gone_ = true; // otherwise what the server still said may be there to be read
}

void bus_client::read_some() {
  std::array<char, 65536> into;
  const auto n = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
  if (n > 0) {
    bytes_read_ += size_t(n);
    if (session_ != nullptr && !drops_raw_input)
      (void)nghttp2_session_mem_recv(session_, reinterpret_cast<uint8_t*>(into.data()), size_t(n));
  } else if (n == 0 || errno != EAGAIN) {
    gone_ = true;
  }
}

} // namespace gantry::test
