#include <algorithm>
#include <arpa/inet.h>

#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/health_policy.hpp"
#include "runtime/probe_tls.hpp"

// What of a health policy makes no sense: said when it is made, not when it is first needed.

namespace gantry::runtime {

namespace {

using kind = probe_kind;

constexpr int64_t ms = 1'000'000;
constexpr int64_t longest = int64_t{366} * 24 * 3600 * 1'000'000'000;
constexpr size_t max_target = 8000;
constexpr size_t max_headers = 64;
constexpr size_t max_header = 4096;
constexpr uint32_t max_streak = 1'000'000;

/// RFC 9110, 5.6.2: what the name of a header consists of.
bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || marks.find(c) != std::string_view::npos;
  });
}

/// Nothing that would end a line, or the request.
bool is_visible(std::string_view text, bool spaces) {
  return std::all_of(text.begin(), text.end(), [spaces](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 ? byte != 0x7f : spaces && (byte == 0x20 || byte == '\t');
  });
}

bool is_address(const std::string& text) {
  in6_addr any{};
  return inet_pton(AF_INET, text.c_str(), &any) == 1
         || inet_pton(AF_INET6, text.c_str(), &any) == 1;
}

result<void> check_headers(const probe_question& q) {
  if (q.headers.size() > max_headers)
    return bad("probe headers", std::to_string(q.headers.size()) + " of them",
               "use at most " + std::to_string(max_headers));
  for (const auto& [name, value] : q.headers)
    if (!is_token(name) || !is_visible(value, true) || name.size() + value.size() > max_header)
      return bad("probe header", shown(name + ": " + value),
                 "a name has letters, digits and -, a value has no line ends");
  return {};
}

result<void> check_http(const probe_question& q) {
  if (!q.path.starts_with('/') || !is_visible(q.path, false) || q.path.size() > max_target)
    return bad("probe path", shown(q.path), "begin it with /, and escape spaces as %20");
  if (q.status_first < 100 || q.status_last > 599 || q.status_last < q.status_first)
    return bad("probe status",
               std::to_string(q.status_first) + "-" + std::to_string(q.status_last),
               "use a range within 100-599: 200-399");
  return check_headers(q);
}

result<void> check_network(const probe_question& q) {
  if (q.port < 1 || q.port > 65535)
    return bad("probe port", std::to_string(q.port), "use 1 to 65535");
  if (!is_address(q.address))
    return bad("probe address", shown(q.address),
               "use an IP address, 127.0.0.1 or ::1; names are not looked up");
  if (!is_visible(q.host, false) || q.host.size() > max_header)
    return bad("probe host", shown(q.host), "use a host name, without spaces");
  if (over_tls(q.kind))
    if (auto fine = check_tls(q); !fine)
      return fine;
  if (is_web(q.kind))
    return check_http(q);
  if (!is_visible(q.service, false) || q.service.size() > max_header)
    return bad("probe service", shown(q.service), "use the name of a gRPC service, or none");
  return {};
}

result<void> check_command(const probe_question& q) {
  if (q.args.empty() || q.args[0].empty())
    return bad("probe command", "\"\"", "name a program: --health-cmd 'test -e /ready'");
  for (const auto& arg : q.args)
    if (!is_clean_text(arg))
      return bad("probe command", shown(arg), "use UTF-8 without a NUL byte");
  if (q.shell && q.args.size() != 1)
    return bad("probe command", std::to_string(q.args.size()) + " words for the shell",
               "give the shell one line");
  return {};
}

result<void> check_question(const probe_question& q) {
  switch (q.kind) {
    case kind::exec: return check_command(q);
    case kind::http:
    case kind::https:
    case kind::tcp:
    case kind::grpc:
    case kind::grpcs: return check_network(q);
    case kind::notify: return {}; // Ours.
    case kind::unix_socket: return check_path("probe socket", q.path);
    case kind::file:
      if (q.younger_ns < 0)
        return bad("probe file age", std::to_string(q.younger_ns), "use a duration above 0");
      return check_path("probe file", q.path);
  }
  return bad("probe kind", std::to_string(int(q.kind)), "use one that this version knows");
}

result<void> duration(std::string_view field, int64_t ns) {
  if (ns < ms || ns > longest)
    return bad(field, std::to_string(ns) + " ns", "use 1ms or more: 500ms, 30s, 1m30s");
  return {};
}

/// One that may be left out, as 0.
result<void> pause(std::string_view field, int64_t ns) {
  return ns == 0 ? result<void>{} : duration(field, ns);
}

result<void> check_times(const health_policy& policy, const probe& p) {
  if (auto fine = duration("probe interval", p.interval_ns); !fine)
    return fine;
  if (auto fine = duration("probe timeout", p.timeout_ns); !fine)
    return fine;
  if (auto fine = pause("probe initial delay", p.initial_delay_ns); !fine)
    return fine;
  if (auto fine = pause("probe start period", p.start_period_ns); !fine)
    return fine;
  if (p.start_period_ns > 0 || p.start_interval_ns != 0)
    if (auto fine = duration("probe start interval", p.start_interval_ns); !fine)
      return fine;
  if (p.initial_delay_ns > 0 && policy.profile != health_profile::kubernetes)
    return bad("probe initial delay", std::to_string(p.initial_delay_ns) + " ns",
               "only the profile kubernetes has it: use a start period");
  if (p.start_period_ns > 0 && policy.profile != health_profile::docker_current)
    return bad("probe start period", std::to_string(p.start_period_ns) + " ns",
               "only the profile docker-current has it");
  return {};
}

result<void> check_probe(const health_policy& policy, const probe& p) {
  if (p.role == probe_role::notify)
    return {}; // Of the spec's notify socket, see check_notify.
  const bool kubernetes = policy.profile == health_profile::kubernetes;
  if ((p.role == probe_role::check) == kubernetes)
    return bad("probe role", shown(name_of(p.role)),
               kubernetes ? "the profile kubernetes has startup, readiness and liveness"
                          : "the profiles of Docker have only check; choose kubernetes");
  if (p.failures < 1 || p.failures > max_streak)
    return bad("probe retries", std::to_string(p.failures), "use 1 or more");
  if (p.successes < 1 || p.successes > max_streak)
    return bad("probe successes", std::to_string(p.successes), "use 1 or more");
  if (p.successes != 1 && (p.role == probe_role::startup || p.role == probe_role::liveness))
    return bad("probe successes", std::to_string(p.successes),
               "one success is enough for " + std::string{name_of(p.role)});
  if (auto fine = check_times(policy, p); !fine)
    return fine;
  return check_question(p.question);
}

} // namespace

result<void> check_health(const health_policy& policy) {
  for (size_t i = 0; i < policy.probes.size(); ++i) {
    const auto& p = policy.probes[i];
    for (size_t j = 0; j < i; ++j)
      if (policy.probes[j].role == p.role)
        return bad("probe role", shown(name_of(p.role)), "name each role once");
    if (auto fine = check_probe(policy, p); !fine)
      return fine;
  }
  if (policy.history > max_health_history)
    return bad("health history", std::to_string(policy.history),
               "use at most " + std::to_string(max_health_history));
  if (policy.output_bytes > max_health_output)
    return bad("health output", std::to_string(policy.output_bytes),
               "use at most " + std::to_string(max_health_output));
  if (policy.on_unhealthy.reset_after_ns < 0)
    return bad("health reset", std::to_string(policy.on_unhealthy.reset_after_ns) + " ns",
               "use 0 or more");
  if (!policy.on_unhealthy.steps.empty() && policy.probes.empty())
    return bad("on unhealthy", shown(text_of(policy.on_unhealthy)),
               "it has no probe that could find it unhealthy: add one");
  return {};
}

} // namespace gantry::runtime
