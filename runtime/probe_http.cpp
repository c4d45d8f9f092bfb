#include "runtime/probe_http.hpp"

#include <algorithm>

#include "messages/check.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The status in `HTTP/1.1 200 OK`; 0 where the line is none of that kind.
int status_in(std::string_view line) {
  constexpr std::string_view version = "HTTP/1.";
  if (!line.starts_with(version) || line.size() < 12 || !is_digit(line[7]) || line[8] != ' ')
    return 0;
  const auto code = line.substr(9, 3);
  if (!std::all_of(code.begin(), code.end(), is_digit) || code[0] < '1' || code[0] > '5'
      || (line.size() > 12 && line[12] != ' '))
    return 0;
  return (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
}

bool same_word(std::string_view a, std::string_view b) {
  auto low = [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [low](char x, char y) { return low(x) == low(y); });
}

/// RFC 3986: an IPv6 address stands in brackets; the scheme's own port is left out.
std::string host_of(const probe_question& q) {
  if (!q.host.empty())
    return q.host;
  const bool v6 = q.address.find(':') != std::string::npos;
  auto out = v6 ? "[" + q.address + "]" : q.address;
  if (q.port != (q.kind == probe_kind::https ? 443u : 80u))
    out.append(":").append(std::to_string(q.port));
  return out;
}

} // namespace

std::string probe_request(const probe_question& q) {
  auto said = [&q](std::string_view name) {
    return std::any_of(q.headers.begin(), q.headers.end(),
                       [name](const auto& h) { return same_word(h.first, name); });
  };
  std::string out;
  out.append("GET ").append(q.path).append(" HTTP/1.1\r\n");
  if (!said("Host"))
    out.append("Host: ").append(host_of(q)).append("\r\n");
  if (!said("User-Agent"))
    out.append("User-Agent: gantry-probe\r\n");
  if (!said("Accept"))
    out.append("Accept: */*\r\n");
  for (const auto& [name, value] : q.headers)
    out.append(name).append(": ").append(value).append("\r\n");
  if (!said("Connection"))
    out.append("Connection: close\r\n");
  return out.append("\r\n");
}

probe_answer::state probe_answer::refuse(std::string why) {
  why_ = std::move(why);
  waiting_.clear();
  return state::bad;
}

probe_answer::state probe_answer::take_line(std::string_view line) {
  if (line.ends_with('\r'))
    line.remove_suffix(1);
  if (in_interim_) {
    in_interim_ = !line.empty();
    return state::more;
  }
  if (line.empty())
    return state::more; // RFC 9112, 2.2, of requests: an empty line before it does no harm.
  const auto status = status_in(line);
  if (status == 0)
    return refuse("this is no answer of HTTP/1: " + shown(line));
  if (status == 101)
    return refuse("it changes the protocol: " + shown(line));
  if (status < 200) {
    in_interim_ = true;
    return state::more;
  }
  status_ = status;
  line_ = line;
  return state::ready;
}

probe_answer::state probe_answer::feed(std::string_view bytes) {
  GANTRY_CHECK(status_ == 0);
  if (!why_.empty())
    return state::bad;
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const auto piece = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
    taken_ += piece.size();
    if (taken_ > max_bytes)
      return refuse("its head has more than 65536 bytes before a status");
    waiting_.append(piece);
    bytes.remove_prefix(piece.size());
    if (end == std::string_view::npos)
      break;
    const auto line = std::move(waiting_);
    waiting_.clear();
    if (const auto now = take_line(std::string_view(line).substr(0, line.size() - 1));
        now != state::more)
      return now;
  }
  return state::more;
}

probe_answer::state probe_answer::end() {
  if (!why_.empty())
    return state::bad;
  if (taken_ == 0)
    return refuse("it closed the connection without an answer");
  return refuse("it closed the connection within its answer: " + shown(waiting_));
}

} // namespace gantry::runtime
