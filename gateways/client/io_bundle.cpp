#include "gateways/client/io_bundle.hpp"

#include <algorithm>

namespace gantry::client {

namespace {

/// More than this is not wanted before the process has taken it.
constexpr size_t most_untaken = 128u << 10;

} // namespace

io_bundle::io_bundle(channel& way, v1::AttachOpen open, io_events on)
  : call("/gantry.v1.Processes/Attach"), way_(way), open_(std::move(open)), on_(std::move(on)) {}

std::string io_bundle::request() const {
  linked_ = false; // Nothing that was said before is heard on the new connection.
  v1::AttachRequest r;
  *r.mutable_open() = open_;
  return r.SerializeAsString();
}

void io_bundle::message(std::string_view bytes) {
  v1::AttachReply reply;
  if (!reply.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return;
  take_note(reply);
  if (on_.reply)
    on_.reply(std::move(reply));
}

void io_bundle::done(result<void> how) {
  end_ = std::move(how);
  if (on_.end)
    on_.end(*end_);
}

void io_bundle::take_note(v1::AttachReply& reply) {
  switch (reply.what_case()) {
  case v1::AttachReply::kOpened:
    return begin(reply.opened());
  case v1::AttachReply::kOutput:
    return put(*reply.mutable_output());
  case v1::AttachReply::kGap:
    if (on_.gap)
      on_.gap(reply.gap());
    return;
  case v1::AttachReply::kStdinOffset:
    return taken_to(reply.stdin_offset());
  case v1::AttachReply::kInputEnd:
    return end_input(reply.input_end());
  case v1::AttachReply::kExit:
    exit_ = reply.exit();
    return;
  case v1::AttachReply::WHAT_NOT_SET: // Of a newer gantryd.
    return;
  }
}

void io_bundle::begin(const v1::AttachOpened& opened) {
  const bool again = known_.has_value();
  known_ = opened;
  linked_ = true;
  if (!again)
    taken_ = opened.stdin_offset();
  else
    taken_to(opened.stdin_offset()); // What was taken before the loss is not said twice.
  open_.set_instance(opened.instance());
  open_.set_cursor(opened.cursor());
  if (size_)
    resize(*size_);
  send_input(untaken_);
  if (input_ended_)
    way_.end_talk(*this);
  if (on_.ready)
    on_.ready();
}

void io_bundle::taken_to(uint64_t offset) {
  const uint64_t n = offset > taken_ ? offset - taken_ : 0;
  untaken_.erase(0, std::min<uint64_t>(n, untaken_.size()));
  taken_ = std::max(taken_, offset);
}

void io_bundle::put(v1::AttachOutput& output) {
  open_.set_cursor(output.cursor());
  if (on_.output)
    on_.output(output.stream(), std::move(*output.mutable_data()));
}

void io_bundle::end_input(const v1::AttachInputEnd& why) {
  input_over_ = true;
  if (!untaken_.empty())
    faults_[0] = error{code_named(why.code()), why.message(), {}};
  untaken_.clear();
}

bool io_bundle::wants_input() const noexcept {
  return linked_ && !input_over_ && !input_ended_ && untaken_.size() < most_untaken;
}

void io_bundle::write(std::string_view bytes) {
  if (input_over_ || input_ended_)
    return;
  untaken_ += bytes;
  if (linked_)
    send_input(bytes);
}

void io_bundle::send_input(std::string_view bytes) {
  if (bytes.empty())
    return;
  v1::AttachRequest r;
  r.mutable_input()->set_data(std::string(bytes));
  way_.say(*this, r);
}

void io_bundle::close_stdin() {
  if (std::exchange(input_ended_, true))
    return;
  if (linked_)
    way_.end_talk(*this);
}

void io_bundle::resize(const v1::TerminalSize& size) {
  size_ = size;
  if (!linked_)
    return; // Said as soon as there is a connection.
  v1::AttachRequest r;
  *r.mutable_size() = size;
  way_.say(*this, r);
}

result<void> io_bundle::close() {
  close_stdin();
  if (!end_)
    way_.drop(*this);
  else if (!*end_)
    faults_[1] = end_->why();
  if (!end_)
    end_ = result<void>{};
  for (auto& fault : faults_)
    if (fault)
      return *fault;
  return {};
}

} // namespace gantry::client
