#include <algorithm>
#include <array>

#include "apps/gantry/probe_words.hpp"
#include "apps/gantry/reader.hpp"

// The options of a health check: Docker's, those of the kinds that Docker has not, and the three
// probes of Kubernetes. What their words mean together is gantryd's to say.

namespace gantry::cli {

namespace {

constexpr std::array questions{"--health-cmd", "--health-http", "--health-https",
                               "--health-tcp", "--health-grpc", "--health-grpcs",
                               "--health-unix", "--health-file"};
constexpr std::array roles{"--health-startup", "--health-readiness", "--health-liveness"};
constexpr std::array of_one{"--health-interval",     "--health-timeout",        "--health-retries",
                            "--health-start-period", "--health-start-interval", "--health-header",
                            "--health-status",       "--health-younger",        "--health-host",
                            "--health-tls-ca"};
constexpr std::array of_all{"--health-on-failure", "--health-reset-after", "--health-profile",
                            "--health-ignore-throttled"};

/// The first of these that was given, or null.
template <size_t N>
const char* first_given(const reader& in, const std::array<const char*, N>& names) {
  const auto at = std::find_if(names.begin(), names.end(),
                               [&in](const char* n) { return in.line.given(n); });
  return at == names.end() ? nullptr : *at;
}

error contradicts(std::string what) {
  return {ec::invalid_argument, "it contradicts " + std::move(what), "leave one of them out"};
}

/// Whether something is said, and nothing that contradicts it.
/// @param change Of a check that there is: it need not be said whole.
bool makes_sense(reader& in, bool change) {
  const bool own_word = in.line.given("--notify"); // It has a health without a question.
  const auto* question = first_given(in, questions);
  const auto* role = first_given(in, roles);
  const auto* detail = first_given(in, of_one);
  const auto* other = detail != nullptr ? detail : first_given(in, of_all);
  if (in.line.flag("--no-healthcheck")) {
    if (question != nullptr || role != nullptr || other != nullptr)
      in.fail("--no-healthcheck", contradicts("the other options of health"));
    return false; // The last word is that there is none.
  }
  if (question == nullptr && role == nullptr) {
    if (change)
      return other != nullptr;
    if (other != nullptr && own_word && detail == nullptr)
      return true;
    if (other != nullptr)
      in.fail(other, {ec::invalid_argument, "there is no check that it could belong to",
                      "add --health-cmd 'CMD', --health-http PORT, or --notify, or another one"});
    return false;
  }
  for (const auto* name : questions)
    if (name != question && in.line.given(name))
      in.fail(name, contradicts(question));
  if (role != nullptr && question != nullptr)
    in.fail(role, contradicts(question));
  if (role != nullptr && detail != nullptr)
    in.fail(detail, {ec::invalid_argument, "of which probe it is nobody can tell",
                     "say it behind the probe: " + std::string{role}
                       + " http://:8080/,period=5s,timeout=1s,failures=3"});
  return true;
}

void take_question(reader& in, const char* option, v1::Probe& p) {
  const auto text = in.line.text(option);
  const std::string kind{std::string_view{option}.substr(sizeof("--health-") - 1)};
  if (kind == "cmd") {
    if (auto fine = take_command(text, p); !fine)
      in.fail(option, fine.why());
  } else if (kind == "unix" || kind == "file") {
    p.set_kind(kind);
    p.set_path(text);
  } else {
    in.take(option, [&kind](std::string_view t) { return parse_peer(kind, t); },
            [&p](v1::Probe x) { p = std::move(x); });
  }
}

/// The numbers of the one check.
void take_details(reader& in, v1::Probe& p) {
  in.take("--health-interval", parse_pause, [&p](int64_t ns) { p.set_interval_ns(ns); });
  in.take("--health-timeout", parse_pause, [&p](int64_t ns) { p.set_timeout_ns(ns); });
  in.take("--health-start-period", parse_duration, [&p](int64_t ns) { p.set_start_period_ns(ns); });
  in.take("--health-start-interval", parse_pause,
          [&p](int64_t ns) { p.set_start_interval_ns(ns); });
  const auto retries = [](std::string_view t) { return parse_number(t, 1, 1'000'000); };
  in.take("--health-retries", retries,
          [&p](int64_t n) { p.set_failures(static_cast<uint32_t>(n)); });
  for (const auto& line : in.line.list("--health-header"))
    p.add_headers(line);
  in.take("--health-status", parse_statuses, [&p](auto range) {
    p.set_status_first(range.first);
    p.set_status_last(range.second);
  });
  in.take("--health-younger", parse_pause, [&p](int64_t ns) { p.set_younger_ns(ns); });
  p.set_host(in.line.text("--health-host"));
  in.take("--health-tls-ca", read_small_file, [&p](std::string pem) { p.set_tls_ca(pem); });
}

/// A probe that there is: another one, only some details of it (`period=5s,failures=2`), or none.
result<v1::Probe> parse_change(std::string_view text) {
  if (text == "none") {
    v1::Probe out;
    out.set_kind("none"); // As `update` understands it.
    return out;
  }
  constexpr std::array<std::string_view, 9> details{
    "period=", "timeout=", "initial-delay=", "failures=", "successes=",
    "status=", "header=",  "host=",          "tls-ca="};
  if (std::none_of(details.begin(), details.end(), [&](auto n) { return text.starts_with(n); }))
    return parse_probe(text);
  auto out = parse_probe("exec:any," + std::string{text});
  if (!out)
    return out;
  if (out->args(0) != "any")
    return error{ec::invalid_argument, "\"" + printable(text) + "\" is no change of a probe",
                 "use the details that change (period=5s,failures=3), another probe, or none"};
  out->clear_args();
  out->clear_shell();
  out->clear_kind();
  return out;
}

} // namespace

void take_health(reader& in, v1::ContainerSpec& to, bool change) {
  if (change && in.line.flag("--no-healthcheck"))
    (void)to.mutable_health();
  if (!makes_sense(in, change))
    return;
  auto& health = *to.mutable_health();
  health.set_profile(in.line.text("--health-profile"));
  health.set_ignore_throttled(in.line.flag("--health-ignore-throttled"));
  health.set_on_unhealthy(in.line.text("--health-on-failure"));
  in.take("--health-reset-after", parse_duration,
          [&health](int64_t ns) { health.set_reset_after_ns(ns); });
  if (!change && first_given(in, roles) == nullptr && first_given(in, questions) == nullptr)
    return; // What it says itself.
  if (first_given(in, roles) == nullptr) {
    auto& p = *health.add_probes();
    if (const auto* question = first_given(in, questions); question != nullptr)
      take_question(in, question, p);
    return take_details(in, p);
  }
  if (health.profile().empty())
    health.set_profile("kubernetes"); // Nobody else has these.
  for (const auto* role : roles)
    in.take(role, change ? parse_change : parse_probe, [&in, &health, role](v1::Probe p) {
      if (const auto file = p.tls_ca(); !file.empty())
        in.take(role, file, read_small_file, [&p](std::string pem) { p.set_tls_ca(pem); });
      p.set_role(std::string_view{role}.substr(sizeof("--health-") - 1).data());
      *health.add_probes() = std::move(p);
    });
}

} // namespace gantry::cli
