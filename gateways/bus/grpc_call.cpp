#include "gateways/bus/grpc_call.hpp"

#include <algorithm>
#include <array>

#include "gateways/bus/methods.hpp"

namespace gantry::bus {

namespace {

constexpr uint32_t http2_cancel = 8; // RFC 9113, section 7

// Clients refuse trailers of more than 8 KiB altogether, by default.
constexpr size_t max_message_text = 4096;
constexpr size_t max_cure_text = 1024;
constexpr size_t max_path_shown = 200;

/// Status numbers as the literals that HPACK may keep.
constexpr std::array<std::string_view, 17> status_texts{
  "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

/// The trailers of an error, with the texts that they point to.
struct status_fields {
  explicit status_fields(const error& why)
    : message(percent_encode(why.text(), max_message_text)),
      cure(percent_encode(why.cure, max_cure_text)), status(grpc_status_of(why.code)),
      code(name_of(why.code)) {}

  size_t fill(std::span<field> into) const {
    size_t n = 0;
    into[n++] = {"grpc-status", status_texts[size_t(status)], true};
    into[n++] = {"grpc-message", message};
    into[n++] = {"gantry-code", code, true};
    if (!cure.empty())
      into[n++] = {"gantry-cure", cure};
    return n;
  }

  std::string message;
  std::string cure;
  int status;
  std::string_view code;
};

constexpr field head_fields[] = {
  {":status", "200", true},
  {"content-type", "application/grpc", true},
  {"grpc-accept-encoding", "identity", true},
};

/// application/grpc, or with +proto, perhaps with parameters. Other formats (+json) are
/// not ours.
bool is_grpc_type(std::string_view value) noexcept {
  constexpr std::string_view base = "application/grpc";
  if (!value.starts_with(base))
    return false;
  value.remove_prefix(base.size());
  if (value.starts_with("+proto"))
    value.remove_prefix(6);
  return value.empty() || value[0] == ';' || value[0] == ' ';
}

} // namespace

bool byte_budget::take(size_t n) noexcept {
  if (n > limit_ - used_ || (whole_ != nullptr && !whole_->take(n)))
    return false;
  used_ += n;
  return true;
}

void byte_budget::give(size_t n) noexcept {
  GANTRY_CHECK(n <= used_);
  used_ -= n;
  if (whole_ != nullptr)
    whole_->give(n);
}

grpc_call::grpc_call(call_host& host, int32_t id)
  : host_(host), id_(id), request_(host.policy.max_message_bytes) {}

grpc_call::~grpc_call() {
  GANTRY_CHECK(closed_);
}

void grpc_call::on_field(std::string_view name, std::string_view value) {
  if (name == ":path") {
    method_ = find_method(value);
    if (method_ == nullptr)
      unknown_path_ = value.substr(0, max_path_shown);
  } else if (name == ":method") {
    is_post_ = value == "POST";
  } else if (name == "content-type") {
    is_grpc_ = is_grpc_type(value);
  } else if (name == "grpc-timeout") {
    timeout_ = parse_timeout(value);
  } else if (name == "grpc-encoding") {
    is_encoded_ = value != "identity";
  }
}

std::optional<error> grpc_call::objection() const {
  if (method_ == nullptr)
    return error{ec::unsupported, "no such method: " + unknown_path_,
                 "use a client of the same version as the supervisor"};
  if (host_.stopping)
    return error{ec::unavailable, "the supervisor is stopping", "try again when it is back"};
  if (auto may = check_right(host_.caller, method_->needs, host_.by, method_->path); !may)
    return std::move(may).why();
  if (is_encoded_)
    return error{ec::unsupported, "the request is compressed", "send it with identity encoding"};
  if (host_.unread > host_.policy.max_unread_bytes)
    return error{ec::resource_exhausted,
                 std::to_string(host_.unread) + " bytes of replies wait on this connection",
                 "read the replies, or make fewer calls at once"};
  return std::nullopt;
}

void grpc_call::on_head() {
  if (!is_post_)
    return refuse("405");
  if (!is_grpc_)
    return refuse("415");
  if (const auto why = objection())
    return fail(*why);
  if (timeout_)
    arm_deadline();
  if (method_->open != nullptr)
    method_->open(*this);
}

void grpc_call::arm_deadline() {
  // The timer dies with the call, so it may point to it.
  deadline_.emplace(host_.loop);
  deadline_->start(*timeout_, [this] {
    abandon({ec::deadline_exceeded,
             std::string(method_->path) + " was not answered within its deadline",
             "what was begun goes on: look at its state, or allow more time"});
  });
}

void grpc_call::on_data(std::span<const char> bytes) {
  if (ended_ || !budget(bytes.size()))
    return host_.session->consume(id_, bytes.size());
  if (sink_ == nullptr) {
    host_.session->consume(id_, bytes.size());
    if (const auto r = request_.feed(bytes); !r)
      fail(r.why());
    return;
  }
  held_bytes_.append(bytes.data(), bytes.size());
  take_held();
}

/// Takes so many bytes of request from the budget, or fails the call.
bool grpc_call::budget(size_t bytes) {
  if (!host_.requests.take(bytes)) {
    fail({ec::resource_exhausted, "too many large requests at once", "send fewer at once"});
    return false;
  }
  request_bytes_ += bytes;
  return true;
}

void grpc_call::receive(std::unique_ptr<call_sink> sink) {
  GANTRY_CHECK(sink_ == nullptr && !ended_);
  sink_ = std::move(sink);
  // The head at once: a client may wait for it before it says anything.
  send_head();
  host_.touch();
}

void grpc_call::hold(bool on) {
  held_ = on;
  if (!on)
    take_held();
}

/// Hands on what has come, until it is used up, or the sink wants no more for now.
void grpc_call::take_held() {
  if (taking_)
    return; // The sink itself said to go on: the loop below does.
  taking_ = true;
  size_t used = 0;
  while (!ended_ && !held_ && used < held_bytes_.size()) {
    const auto taken = request_.feed_one(std::span<const char>(held_bytes_).subspan(used));
    if (!taken) {
      fail(taken.why());
      break;
    }
    used += *taken;
    if (!request_.whole())
      continue;
    sink_->take(request_.message());
    request_.next();
  }
  taking_ = false;
  if (ended_)
    return let_go();
  held_bytes_.erase(0, used);
  host_.requests.give(request_bytes_ - held_bytes_.size() - request_.bytes());
  request_bytes_ = held_bytes_.size() + request_.bytes();
  if (used > 0) {
    host_.session->consume(id_, used);
    host_.touch();
  }
  if (held_ || !std::exchange(half_closed_, false))
    return;
  if (!request_.empty())
    return fail({ec::invalid_argument, "the call ends in the middle of a request message", ""});
  sink_->end();
}

/// What came and nobody takes any more: the budget and the connection's window get it back.
void grpc_call::let_go() {
  if (taking_)
    return; // Comes once the sink has returned: it may still look at the message.
  if (!held_bytes_.empty())
    host_.session->consume(id_, held_bytes_.size());
  std::string().swap(held_bytes_);
  request_.forget();
  host_.requests.give(std::exchange(request_bytes_, 0));
}

void grpc_call::on_end() {
  if (ended_)
    return;
  if (sink_ != nullptr) {
    half_closed_ = true;
    return take_held();
  }
  if (request_.empty())
    return fail({ec::invalid_argument, "the call has no request message", ""});
  if (!request_.whole())
    return fail({ec::invalid_argument, "the call ends in the middle of its request message", ""});
  method_->run(*this, request_.message());
  let_go();
}

pulled grpc_call::pull(std::span<char> into) {
  const size_t n = std::min(into.size(), queued());
  std::copy_n(out_.data() + out_begin_, n, into.data());
  out_begin_ += n;
  host_.unread -= n;
  if (queued() == 0) {
    out_begin_ = 0;
    out_.clear();
  }
  if (source_ != nullptr && queued() < host_.policy.max_queued_bytes)
    host_.drained.push_back(weak_from_this());
  return {n, ended_ && queued() == 0};
}

void grpc_call::on_last() {
  if (why_ == nullptr) {
    static constexpr field ok[] = {{"grpc-status", "0", true}};
    return host_.session->trail(id_, ok);
  }
  std::array<field, 4> fields;
  const status_fields texts(*why_);
  host_.session->trail(id_, std::span(fields).first(texts.fill(fields)));
}

void grpc_call::on_close() {
  closed_ = true;
  ended_ = true;
  host_.unread -= queued();
  std::string().swap(out_);
  out_begin_ = 0;
  let_go();
  retire();
  deadline_.reset();
}

void grpc_call::refuse(std::string_view http_status) {
  const field fields[] = {{":status", http_status, true}};
  head_sent_ = true;
  ended_ = true;
  host_.session->respond(id_, fields, true);
  host_.touch();
}

void grpc_call::send_head() {
  if (std::exchange(head_sent_, true))
    return;
  host_.session->respond(id_, head_fields, false);
}

void grpc_call::pushed(size_t before) {
  host_.unread += out_.size() - before;
  send_head();
  host_.session->resume(id_);
  host_.touch();
}

void grpc_call::push(const google::protobuf::MessageLite& message) {
  GANTRY_CHECK(!ended_);
  const size_t before = out_.size();
  append_frame(out_, message);
  pushed(before);
}

void grpc_call::push_bytes(std::string_view message) {
  GANTRY_CHECK(!ended_);
  const size_t before = out_.size();
  append_frame(out_, message);
  pushed(before);
}

void grpc_call::finish() {
  end(nullptr);
}

void grpc_call::fail(const error& why) {
  end(&why);
}

void grpc_call::end(const error* why) {
  GANTRY_CHECK(!ended_);
  ended_ = true;
  let_go();
  retire();
  if (why != nullptr && !head_sent_) {
    // The short form: one head that is the trailers too.
    head_sent_ = true;
    std::array<field, 8> fields;
    const status_fields texts(*why);
    const auto last = std::copy(std::begin(head_fields), std::end(head_fields), fields.begin());
    const size_t n = texts.fill(std::span(last, fields.end()));
    host_.session->respond(id_, std::span(fields).first(std::size(head_fields) + n), true);
  } else {
    if (why != nullptr)
      why_ = std::make_unique<error>(*why);
    send_head();
    host_.session->resume(id_);
  }
  host_.touch();
}

void grpc_call::abandon(const error& why) {
  if (queued() == 0)
    return ended_ ? void() : fail(why);
  // What is queued stands before any status, and the client does not read it.
  if (!ended_)
    end(&why);
  host_.session->reset(id_, http2_cancel);
  host_.touch();
}

void grpc_call::draw(std::unique_ptr<call_source> source) {
  GANTRY_CHECK(source_ == nullptr && !ended_);
  source_ = std::move(source);
  // The head at once: the client knows that it follows before the first event comes.
  send_head();
  host_.touch();
  source_->ask();
}

void grpc_call::keep(std::unique_ptr<call_source> what) {
  GANTRY_CHECK(source_ == nullptr && !ended_);
  source_ = std::move(what);
}

void grpc_call::ask_source() {
  if (source_ != nullptr)
    source_->ask();
}

void grpc_call::retire() {
  if (source_ == nullptr && sink_ == nullptr)
    return;
  // The call may be ending from inside the one or the other: that returns first.
  host_.loop.post([source = std::shared_ptr<call_source>(std::move(source_)),
                   sink = std::shared_ptr<call_sink>(std::move(sink_))] {});
}

} // namespace gantry::bus
