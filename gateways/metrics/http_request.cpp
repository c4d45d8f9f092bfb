#include "gateways/metrics/http_request.hpp"

#include <algorithm>

namespace gantry::metrics {

namespace {

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return (x >= 'A' && x <= 'Z' ? char(x + 32) : x) == y;
  });
}

/// RFC 9110, 5.6.2: what a method and a field's name consist of.
bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || marks.find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

/// The end of the head, behind its blank line; npos while it has not come.
size_t end_of_head(std::string_view text) {
  for (auto at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    const auto rest = text.substr(at + 1);
    if (rest.starts_with("\n"))
      return at + 2;
    if (rest.starts_with("\r\n"))
      return at + 3;
  }
  return std::string_view::npos;
}

std::string_view reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
  }
}

} // namespace

http_reader::state http_reader::refuse(int status) {
  status_ = status;
  waiting_.clear();
  return state::bad;
}

http_reader::state http_reader::feed(std::string_view bytes) {
  if (status_ != 0)
    return state::bad;
  waiting_.append(bytes.substr(0, max_piece));
  const auto blank = waiting_.find_first_not_of("\r\n"); // RFC 9112, 2.2: may come before.
  waiting_.erase(0, std::min(blank, waiting_.size()));
  const auto end = end_of_head(waiting_);
  if (std::min(end, waiting_.size()) > max_head)
    return refuse(431);
  if (end == std::string::npos)
    return state::more;
  found_ = {};
  status_ = 0;
  if (!parse(std::string_view(waiting_).substr(0, end)))
    return refuse(status_ != 0 ? status_ : 400);
  waiting_.erase(0, end);
  return state::ready;
}

http_request http_reader::take() { return std::move(found_); }

bool http_reader::parse(std::string_view head) {
  bool first = true;
  while (!head.empty()) {
    const auto at = head.find('\n');
    auto line = head.substr(0, at);
    head.remove_prefix(at + 1);
    if (line.ends_with('\r'))
      line.remove_suffix(1);
    if (line.find('\r') != std::string_view::npos || line.find('\0') != std::string_view::npos)
      return false;
    if (line.empty())
      return !first;
    if (!(first ? parse_first(line) : parse_field(line)))
      return false;
    first = false;
  }
  return false;
}

bool http_reader::parse_first(std::string_view line) {
  const auto one = line.find(' ');
  const auto two = line.rfind(' ');
  if (one == std::string_view::npos || two == one)
    return false;
  const auto method = line.substr(0, one);
  const auto target = line.substr(one + 1, two - one - 1);
  const auto version = line.substr(two + 1);
  if (!is_token(method) || target.empty() || target.find(' ') != std::string_view::npos
      || !version.starts_with("HTTP/"))
    return false;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    status_ = 505;
    return false;
  }
  found_.method = method;
  found_.path = target.substr(0, target.find('?'));
  found_.keep_alive = version == "HTTP/1.1";
  return found_.path.front() == '/';
}

bool http_reader::parse_field(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return false; // A folded line too: obsolete, and to be refused.
  const auto name = line.substr(0, colon);
  const auto value = trimmed(line.substr(colon + 1));
  if (same_word(name, "connection")) {
    if (same_word(value, "close"))
      found_.keep_alive = false;
    else if (same_word(value, "keep-alive"))
      found_.keep_alive = true;
  } else if (same_word(name, "accept")) {
    found_.openmetrics |= value.find("application/openmetrics-text") != std::string_view::npos;
  } else if ((same_word(name, "content-length") && value != "0")
             || same_word(name, "transfer-encoding")) {
    status_ = 413;
    return false;
  }
  return true;
}

std::string http_reply(int status, std::string_view type, std::string_view body, bool keep_alive,
                       bool with_body) {
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out.append(reason_of(status)).append("\r\nContent-Type: ").append(type);
  out.append("\r\nContent-Length: ").append(std::to_string(body.size()));
  if (status == 405)
    out.append("\r\nAllow: GET, HEAD");
  out.append("\r\nX-Content-Type-Options: nosniff\r\nConnection: ");
  out.append(keep_alive ? "keep-alive" : "close").append("\r\n\r\n");
  if (with_body)
    out.append(body);
  return out;
}

} // namespace gantry::metrics
