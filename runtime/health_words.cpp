#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/health_policy.hpp"

// Health policies in words.

namespace gantry::runtime {

namespace {

// The last one of both is nothing that a client can ask for.
constexpr std::array<std::string_view, 9> kinds{"exec",  "http", "https", "tcp",   "grpc",
                                                "grpcs", "unix", "file",  "notify"};
constexpr std::array<std::string_view, 5> roles{"check", "startup", "readiness", "liveness",
                                                "notify"};
constexpr std::array<std::string_view, 3> profiles{"docker-2016", "docker-current", "kubernetes"};
constexpr std::array<std::string_view, 4> statuses{"none", "starting", "healthy", "unhealthy"};
constexpr std::array<std::string_view, 6> labels{"passed",     "failed",    "timeout",
                                                 "slow_start", "throttled", "starting"};

template <class Enum>
result<Enum> named(std::span<const std::string_view> words, std::string_view text,
                   std::string_view field) {
  std::string cure = "use";
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == text)
      return Enum(i);
    cure.append(i == 0 ? " " : i + 1 == words.size() ? " or " : ", ").append(words[i]);
  }
  return bad(field, shown(text), cure);
}

constexpr std::string_view forms = "use http://:8080/path, https://:8443/path, tcp://:6379, "
                                   "grpc://:9000/service, unix:/path or file:/path";

/// `ADDRESS`, `ADDRESS:PORT`, `[V6]:PORT`, `:PORT` or nothing.
bool take_authority(std::string_view text, probe_question& q) {
  auto address = text;
  std::string_view port;
  const auto close = text.starts_with('[') ? text.find(']') : std::string_view::npos;
  if (text.starts_with('[') && close == std::string_view::npos)
    return false;
  if (const auto colon = text.find(':', close == std::string_view::npos ? 0 : close);
      colon != std::string_view::npos) {
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
    const auto* end = port.data() + port.size();
    const auto [stop, wrong] = std::from_chars(port.data(), end, q.port);
    if (wrong != std::errc{} || stop != end || port.empty())
      return false;
  }
  if (address.starts_with('['))
    address = address.ends_with(']') ? address.substr(1, address.size() - 2) : std::string_view{};
  if (!address.empty() && address != "localhost")
    q.address = address;
  return true;
}

result<probe_question> network_question(probe_kind kind, std::string_view rest,
                                        std::string_view whole) {
  probe_question q;
  q.kind = kind;
  q.port = kind == probe_kind::http ? 80 : kind == probe_kind::https ? 443 : 0;
  const auto slash = rest.find('/');
  if (!take_authority(rest.substr(0, slash), q))
    return bad("probe", shown(whole), forms);
  const auto tail = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash);
  if (is_rpc(kind))
    q.service = tail.substr(std::min<size_t>(1, tail.size()));
  else if (kind == probe_kind::tcp && tail.size() > 1)
    return bad("probe", shown(whole), "tcp has no path: tcp://:6379");
  else if (kind != probe_kind::tcp)
    q.path = tail.empty() ? "/" : std::string{tail};
  return q;
}

} // namespace

std::string_view name_of(probe_kind x) noexcept { return kinds[size_t(x)]; }
std::string_view name_of(probe_role x) noexcept { return roles[size_t(x)]; }
std::string_view name_of(health_profile x) noexcept { return profiles[size_t(x)]; }
std::string_view name_of(health_status x) noexcept { return statuses[size_t(x)]; }
std::string_view name_of(probe_result::label x) noexcept { return labels[size_t(x)]; }

result<health_profile> parse_profile(std::string_view text) {
  return named<health_profile>(profiles, text, "health profile");
}

result<probe_role> parse_role(std::string_view text) {
  return named<probe_role>(std::span{roles}.first(roles.size() - 1), text, "probe role");
}

result<probe_kind> parse_kind(std::string_view text) {
  return named<probe_kind>(std::span{kinds}.first(kinds.size() - 1), text, "probe kind");
}

result<probe_question> parse_question(std::string_view text) {
  for (const auto kind : {probe_kind::http, probe_kind::https, probe_kind::tcp, probe_kind::grpc,
                          probe_kind::grpcs}) {
    auto scheme = std::string{name_of(kind)} + "://";
    if (text.starts_with(scheme))
      return network_question(kind, text.substr(scheme.size()), text);
  }
  for (const auto kind : {probe_kind::unix_socket, probe_kind::file}) {
    auto scheme = std::string{name_of(kind)} + ":";
    if (!text.starts_with(scheme))
      continue;
    probe_question q;
    q.kind = kind;
    q.path = text.substr(scheme.size());
    return q;
  }
  return bad("probe", shown(text), forms);
}

std::string text_of(const probe_question& q) {
  using enum probe_kind;
  const auto kind = std::string{name_of(q.kind)};
  if (q.kind == notify)
    return "what it says at its notify socket";
  if (q.kind == unix_socket || q.kind == file)
    return kind + ":" + q.path;
  if (q.kind != exec) {
    const bool six = q.address.find(':') != std::string::npos;
    auto out = kind + "://" + (six ? "[" + q.address + "]" : q.address) + ":"
               + std::to_string(q.port);
    return !is_rpc(q.kind) ? out + q.path : q.service.empty() ? out : out + "/" + q.service;
  }
  std::string out;
  for (const auto& word : q.args)
    out += (out.empty() ? "" : " ") + word;
  return out;
}

} // namespace gantry::runtime
