#include "apps/gantry/probe_words.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "apps/gantry/units.hpp"

// What a person writes for a probe. Whether it makes sense as a whole is gantryd's to say.

namespace gantry::cli {

namespace {

error no_probe(std::string_view text, std::string cure) {
  return {ec::invalid_argument, "\"" + printable(text) + "\" is no probe", std::move(cure)};
}

constexpr const char* forms = "use http://:8080/path, https://:8443/path, tcp://:6379, "
                              "grpc://:9000/service, grpcs://:9443, unix:/path, file:/path or "
                              "exec:CMD";

/// Kubernetes' own names are understood as well.
std::string_view short_name(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> names{{
    {"periodSeconds", "period"},
    {"timeoutSeconds", "timeout"},
    {"initialDelaySeconds", "initial-delay"},
    {"failureThreshold", "failures"},
    {"successThreshold", "successes"},
  }};
  for (const auto& [theirs, ours] : names)
    if (theirs == name)
      return ours;
  return name;
}

result<bool> take_number(std::string_view name, std::string_view value, v1::Probe& to) {
  auto n = parse_number(value, 1, 1'000'000);
  if (!n)
    return n.why();
  name == "failures" ? to.set_failures(uint32_t(*n)) : to.set_successes(uint32_t(*n));
  return true;
}

result<bool> take_time(std::string_view name, std::string_view value, v1::Probe& to) {
  auto ns = name == "initial-delay" ? parse_duration(value) : parse_pause(value);
  if (!ns)
    return ns.why();
  if (name == "period")
    to.set_interval_ns(*ns);
  else if (name == "timeout")
    to.set_timeout_ns(*ns);
  else
    to.set_initial_delay_ns(*ns);
  return true;
}

/// One of the details behind a probe; false where it is none.
result<bool> take_detail(std::string_view text, v1::Probe& to) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos)
    return false;
  const auto name = short_name(text.substr(0, equals));
  const std::string value{text.substr(equals + 1)};
  if (name == "failures" || name == "successes")
    return take_number(name, value, to);
  if (name == "period" || name == "timeout" || name == "initial-delay")
    return take_time(name, value, to);
  if (name == "status") {
    auto range = parse_statuses(value);
    if (!range)
      return range.why();
    to.set_status_first(range->first);
    to.set_status_last(range->second);
  } else if (name == "header") {
    to.add_headers(value);
  } else if (name == "host") {
    to.set_host(value);
  } else if (name == "tls-ca") {
    to.set_tls_ca(value);
  } else {
    return false;
  }
  return true;
}

/// The question of a probe, without its details.
result<v1::Probe> parse_question(std::string_view text) {
  for (const std::string_view kind : {"http", "https", "tcp", "grpc", "grpcs"})
    if (text.starts_with(kind) && text.substr(kind.size()).starts_with("://"))
      return parse_peer(kind, text.substr(kind.size() + 3));
  v1::Probe out;
  for (const std::string_view kind : {"unix", "file", "exec"})
    if (text.starts_with(kind) && text.substr(kind.size()).starts_with(":")) {
      const auto rest = std::string{text.substr(kind.size() + 1)};
      if (rest.empty())
        return no_probe(text, forms);
      out.set_kind(std::string{kind});
      if (kind != "exec")
        out.set_path(rest);
      else if (auto fine = take_command(rest, out); !fine)
        return fine.why();
      return out;
    }
  return no_probe(text, forms);
}

/// A URL may leave its port out, and so may an address that is no number.
bool has_no_port(std::string_view authority, bool url) {
  const auto close = authority.rfind(']');
  const auto colon = authority.rfind(':');
  if (colon != std::string_view::npos && (close == std::string_view::npos || colon > close))
    return false;
  return url || authority.find_first_not_of("0123456789") != std::string_view::npos;
}

/// Something at the end that was meant as a detail, and is none.
bool is_mistaken(std::string_view question, std::string_view last) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";
  const auto equals = last.find('=');
  return equals != std::string_view::npos && equals > 0
         && last.substr(0, equals).find_first_not_of(letters) == std::string_view::npos
         && !question.starts_with("exec:") && question.find('?') == std::string_view::npos;
}

} // namespace

result<v1::Probe> parse_peer(std::string_view kind, std::string_view text) {
  v1::Probe out;
  out.set_kind(std::string{kind});
  const auto whole = text;
  const bool url = text.starts_with(kind) && text.substr(kind.size()).starts_with("://");
  if (url)
    text.remove_prefix(kind.size() + 3);
  const auto slash = text.find('/');
  auto authority = text.substr(0, slash);
  std::string with_port;
  if (kind.starts_with("http") && has_no_port(authority, url)) {
    with_port = std::string{authority} + (kind == "https" ? ":443" : ":80");
    authority = with_port;
  }
  const auto tail = slash == std::string_view::npos ? std::string_view{} : text.substr(slash);
  const auto colon = authority.rfind(':');
  const bool alone = colon == std::string_view::npos;
  auto address = alone ? std::string_view{} : authority.substr(0, colon);
  auto port = parse_number(alone ? authority : authority.substr(colon + 1), 1, 65535);
  if (!port)
    return error{ec::invalid_argument, "\"" + printable(whole) + "\" names no port",
                 "begin with a port from 1 to 65535, or with ADDRESS:PORT"};
  out.set_port(uint32_t(*port));
  if (address.starts_with('[') && address.ends_with(']'))
    address = address.substr(1, address.size() - 2);
  out.set_address(address == "localhost" ? std::string{} : std::string{address});
  if (kind == "tcp" && !tail.empty())
    return error{ec::invalid_argument, "\"" + printable(text) + "\" has a path",
                 "tcp only connects: leave it out"};
  if (kind.starts_with("grpc"))
    out.set_service(std::string{tail.substr(tail.empty() ? 0 : 1)});
  else
    out.set_path(std::string{tail});
  return out;
}

result<v1::Probe> parse_probe(std::string_view text) {
  v1::Probe details;
  auto question = text;
  for (auto comma = question.rfind(','); comma != std::string_view::npos;
       comma = question.rfind(',')) {
    auto known = take_detail(question.substr(comma + 1), details);
    if (!known)
      return known.why();
    if (!*known && is_mistaken(question, question.substr(comma + 1)))
      return error{ec::invalid_argument,
                   "\"" + printable(question.substr(comma + 1)) + "\" is no detail of a probe",
                   "use period, timeout, initial-delay, failures, successes, status, header, host "
                   "or tls-ca"};
    if (!*known)
      break; // A comma of the question itself.
    question = question.substr(0, comma);
  }
  std::reverse(details.mutable_headers()->begin(), details.mutable_headers()->end());
  auto out = parse_question(question);
  if (out)
    out->MergeFrom(details);
  return out;
}

result<void> take_command(std::string_view text, v1::Probe& to) {
  const auto words = nlohmann::json::parse(text, nullptr, false);
  if (!words.is_array() && text.starts_with("[\"")) // No shell has a use for that.
    return error{ec::invalid_argument, "\"" + printable(text) + "\" is no list of words",
                 "write [\"PROGRAM\", \"WORD\"]"};
  if (!words.is_array()) { // `[ -e /file ]` is none either.
    to.set_shell(true);
    to.add_args(std::string{text});
    return {};
  }
  if (words.empty())
    return error{ec::invalid_argument, "[] is no command",
                 "give it words: [\"test\", \"-e\", \"/x\"]"};
  for (const auto& word : words) {
    if (!word.is_string())
      return error{ec::invalid_argument, printable(word.dump()) + " is no word of a command",
                   "put words into quotes: [\"sleep\", \"1\"]"};
    to.add_args(word.get<std::string>());
  }
  return {};
}

result<std::pair<uint32_t, uint32_t>> parse_statuses(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = parse_number(text.substr(0, dash), 100, 599);
  const auto last = dash == std::string_view::npos ? first
                                                   : parse_number(text.substr(dash + 1), 100, 599);
  if (!first || !last || *last < *first)
    return error{ec::invalid_argument, "\"" + printable(text) + "\" is no range of statuses",
                 "use 204 or 200-299, within 100 to 599"};
  return std::pair{uint32_t(*first), uint32_t(*last)};
}

} // namespace gantry::cli
