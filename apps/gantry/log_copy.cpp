#include "apps/gantry/log_copy.hpp"

#include <algorithm>
#include <vector>

#include "apps/gantry/json.hpp"
#include "apps/gantry/units.hpp"
#include "messages/check.hpp"

namespace gantry::cli {

namespace {

/// More than this is not taken from gantryd before the outputs have taken it.
constexpr size_t most_waiting = 1u << 20;

constexpr uint32_t stderr_stream = 2;

} // namespace

log_copy::log_copy(v1::ReadLogRequest request, log_form form, sink& out, sink& err)
  : call("/gantry.v1.Logs/Read"), request_(std::move(request)), form_(form), out_(out), err_(err) {}

std::string log_copy::request() const {
  return request_.SerializeAsString();
}

void log_copy::message(std::string_view bytes) {
  v1::LogChunk chunk;
  if (!chunk.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return;
  if (!chunk.cursor().empty()) {
    request_.set_cursor(chunk.cursor());
    request_.set_tail(0); // The tail was the beginning; a repeat goes on from here.
  }
  if (chunk.missing_files() > 0)
    put_gap(chunk.missing_files());
  if (!chunk.notice().empty())
    put_notice(chunk);
  if (chunk.data().empty())
    return;
  if (form_.json)
    put_json(chunk);
  else
    put_plain(chunk);
}

void log_copy::put_plain(v1::LogChunk& chunk) {
  const bool is_err = chunk.stream() == stderr_stream;
  sink& to = is_err ? err_ : out_;
  bool& at_start = at_line_start_[is_err ? 1 : 0];
  if (!form_.timestamps) {
    at_start = chunk.data().back() == '\n';
    return to.put(std::move(*chunk.mutable_data()));
  }
  const std::string stamp = time_text(chunk.time_ns()) + " ";
  const std::string& data = chunk.data();
  std::string text;
  for (size_t from = 0; from < data.size();) {
    const size_t newline = data.find('\n', from);
    const size_t end = newline == std::string::npos ? data.size() : newline + 1;
    text.append(at_start ? stamp : "").append(data, from, end - from);
    at_start = newline != std::string::npos;
    from = end;
  }
  to.put(std::move(text));
}

void log_copy::put_gap(uint64_t files) {
  // In its place in the stream, and on a line of its own: what follows is no continuation.
  std::string text = at_line_start_[1] ? "" : "\n";
  text += "gantry: " + std::to_string(files) +
          " log files were rotated away before they were read: output is missing here\n";
  err_.put(std::move(text));
  at_line_start_[1] = true;
}

void log_copy::put_notice(const v1::LogChunk& chunk) {
  if (form_.json) {
    json_object o;
    o.text("notice", chunk.notice()).number("dropped", chunk.dropped());
    return out_.put(o.text("message", chunk.message()).done() + "\n");
  }
  std::string text;
  if (chunk.notice() == "dropped")
    text = std::to_string(chunk.dropped()) + " bytes were given up: the log could not keep up";
  else if (!chunk.message().empty())
    text = chunk.message();
  if (text.empty())
    return; // A new file: nothing that a reader of the text must know.
  err_.put((at_line_start_[1] ? "gantry: " : "\ngantry: ") + text + "\n");
  at_line_start_[1] = true;
}

void log_copy::put_json(const v1::LogChunk& chunk) {
  json_object o;
  o.text("stream", chunk.stream() == stderr_stream ? "stderr" : "stdout");
  o.text("time", time_text(chunk.time_ns()));
  if (is_utf8(chunk.data()))
    o.text("data", chunk.data());
  else
    o.text("data_base64", base64(chunk.data()));
  out_.put(o.done() + "\n");
}

void step_with_outputs(client::channel& way, sink& out, sink& err, std::span<pollfd> others,
                       int timeout_ms) {
  std::vector<pollfd> set(others.begin(), others.end());
  set.push_back(out.want());
  set.push_back(err.want());
  way.hold(out.waiting() + err.waiting() > most_waiting);
  way.step(set, timeout_ms);
  std::copy_n(set.begin(), others.size(), others.begin());
  out.flush();
  err.flush();
}

} // namespace gantry::cli
