#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messages/result.hpp"
#include "runtime/unhealthy_ladder.hpp"

// What is asked of a container to know whether it works, how often, and what the answers make
// of its health: plain data and plain functions, no clock of their own. All times are
// nanoseconds of one clock that the caller chooses.

namespace gantry::runtime {

/// What a probe does. Of `notify` it is the container that speaks, unasked: see notify_policy.hpp.
enum class probe_kind : uint8_t { exec, http, https, tcp, grpc, grpcs, unix_socket, file, notify };

constexpr bool is_web(probe_kind x) { return x == probe_kind::http || x == probe_kind::https; }
constexpr bool is_rpc(probe_kind x) { return x == probe_kind::grpc || x == probe_kind::grpcs; }
constexpr bool over_tls(probe_kind x) { return x == probe_kind::https || x == probe_kind::grpcs; }


/// What a probe is for. `check` is Docker's only one, the next three are those of Kubernetes;
/// `notify` is the container's own word, beside any of them: the spec's notify socket makes it.
enum class probe_role : uint8_t { check, startup, readiness, liveness, notify };

/// Whose rules hold: Docker's as they were at first and as they are now, or Kubernetes'.
enum class health_profile : uint8_t { docker_2016, docker_current, kubernetes };

/// The question itself. Each kind has its own fields; the others are empty.
struct probe_question {
  probe_kind kind = probe_kind::exec;
  std::vector<std::string> args; ///< exec: program and arguments; of the shell form, its shell's.
  bool shell = false;            ///< exec: `args` is one line for the container's shell.
  std::string address = "127.0.0.1"; ///< Of a connection: an IP address, in its network.
  uint32_t port = 0;                 ///< The same.
  std::string path; ///< http, https: the target; unix_socket and file: absolute, in its root.
  std::string host; ///< http, https: the Host header; grpc, grpcs: authority; empty: the address.
  std::vector<std::pair<std::string, std::string>> headers; ///< http, https: further ones.
  int status_first = 200; ///< http, https: the answers that pass …
  int status_last = 399;
  std::string service;      ///< grpc, grpcs: empty asks for the whole server.
  std::string tls_ca;       ///< https, grpcs: certificates in PEM to verify by; empty: any is good.
  int64_t younger_ns = 0;   ///< file: changed within this time; 0: it must only exist.
  bool operator==(const probe_question&) const = default;
};

/// One question, asked again and again.
struct probe {
  probe_role role = probe_role::check;
  probe_question question;
  int64_t interval_ns = 0; ///< Docker: from an end to the next begin; else begin to begin.
  int64_t timeout_ns = 0;        ///< Longer is a failure.
  int64_t initial_delay_ns = 0;  ///< kubernetes: before the first.
  int64_t start_period_ns = 0;   ///< docker-current: failures that begin in it are not counted …
  int64_t start_interval_ns = 0; ///< … and the interval is this one, while it is starting.
  uint32_t failures = 0;         ///< So many in a row are a failure of the container.
  uint32_t successes = 1;        ///< So many in a row are a success.
  bool operator==(const probe&) const = default;
};

/// All that is asked of a container, and what follows from it.
struct health_policy {
  health_profile profile = health_profile::docker_current;
  std::vector<probe> probes; ///< At most one of a role; none: it has no health.
  uint32_t history = 5;      ///< Results that are kept of each probe.
  uint32_t output_bytes = 4096; ///< Of a result's output.
  bool ignore_throttled = false; ///< A failure for want of CPU time does not count.
  unhealthy_ladder on_unhealthy; ///< What is done when a container becomes unhealthy.
  bool operator==(const health_policy&) const = default;
};

/// Limits of the numbers above.
inline constexpr uint32_t max_health_history = 100;
inline constexpr uint32_t max_health_output = 65536;

enum class health_status : uint8_t { none, starting, healthy, unhealthy };

/// How one run of a probe ended.
struct probe_result {
  /// slow_start: failed, in the start period. throttled: failed, and its container's CPU limit
  /// kept it from running meanwhile. starting: exit code 2 in docker-2016.
  enum class label : uint8_t { passed, failed, timeout, slow_start, throttled, starting } what
    = label::failed;
  int exit_code = -1; ///< exec; -1: it has none.
  int64_t began_ns = 0;
  int64_t ended_ns = 0;
  int64_t cpu_ns = 0; ///< exec: of all that it started.
  std::string output;
  bool operator==(const probe_result&) const = default;
};

/// Where one probe is.
struct probe_state {
  uint32_t failures = 0; ///< In a row, those that count.
  uint32_t successes = 0;
  bool passed = false; ///< Its last streak that was long enough was one of successes …
  bool failed = false; ///< … or of failures.
  bool runs = false;
  int64_t began_ns = 0; ///< Its last run, in this life of the supervisor; 0: none.
  int64_t next_ns = 0; ///< When it runs next.
  std::deque<probe_result> results; ///< The oldest first.
  bool operator==(const probe_state&) const = default;
};

/// The health of one run of a container.
struct health_state {
  health_status status = health_status::none;
  /// Its notify socket and its readiness probe say so; with neither, the same as healthy.
  bool ready = false;
  bool stopping = false; ///< It has said STOPPING=1: it is not ready any more.
  bool frozen = false;
  int64_t started_ns = 0;
  uint32_t actions = 0;   ///< Steps of its ladder that were made.
  int64_t healthy_ns = 0; ///< Since then it is healthy; 0: it is not.
  bool acts = false;      ///< The next step is due.
  std::vector<probe_state> probes; ///< As those of the policy.
  bool operator==(const health_state&) const = default;
};

/// Something to tell.
struct health_change {
  health_status from = health_status::none;
  health_status to = health_status::none;
  bool was_ready = false;
  bool ready = false;
  size_t probe = 0; ///< Whose result it was.
};

/// A probe with the profile's own numbers.
probe default_probe(health_profile profile, probe_role role);

/// The health of a container that has just been started, or started again.
health_state begin_health(const health_policy& policy, int64_t now_ns);

/// Puts off what has not run yet by up to this share of its interval: each probe by another part,
/// and by the same one for the same seed.
void spread_health(const health_policy& policy, health_state& state, uint64_t seed, double share);

/// When the next probe is due; absent: none is, before something else happens.
std::optional<int64_t> next_probe(const health_policy& policy, const health_state& state);

/// Whether a failure may be for want of CPU time: for a tenth of the probe's time or more its
/// container was kept from its CPUs. What was not there to be run fails with all the time there is.
bool is_throttled(const probe_result& result, uint64_t throttled_ns);

/// A probe that is to be run now; it is not due again until `end_probe`.
std::optional<size_t> take_due_probe(const health_policy& policy, health_state& state,
                                     int64_t now_ns);

/// A probe has ended. @param result Gets its final label. A step of the ladder is due (`acts`)
/// when it becomes unhealthy, and after each further streak of failures while steps are left.
std::optional<health_change> end_probe(const health_policy& policy, health_state& state,
                                       size_t which, probe_result result);

/// A probe could not be run and says nothing: it is asked again after its interval.
void drop_probe(const health_policy& policy, health_state& state, size_t which, int64_t now_ns);

/// The container is paused: no probe runs, and what ran is dropped.
void freeze_health(health_state& state);

/// It goes on: each probe waits its interval anew.
void thaw_health(const health_policy& policy, health_state& state, int64_t now_ns);

/// It has said that it stops.
void stop_being_ready(health_state& state) noexcept;

/// The probe that stands for what the container says itself; absent: it has no notify socket.
std::optional<size_t> notify_probe(const health_policy& policy) noexcept;

/// Asks the probe now. False: it runs already, is frozen, or waits for the startup probe.
bool hurry_probe(const health_policy& policy, health_state& state, size_t which, int64_t now_ns);

/// A policy takes another one's place: what is known of a role's probe is kept.
void change_health(const health_policy& old_policy, const health_policy& policy,
                   health_state& state, int64_t now_ns);

/// Whether a policy makes sense.
result<void> check_health(const health_policy& policy);

// Words (health_words.cpp): `docker-2016`, `startup`, `healthy`, `slow_start` and so on.

std::string_view name_of(probe_kind x) noexcept;
std::string_view name_of(probe_role x) noexcept;
std::string_view name_of(health_profile x) noexcept;
std::string_view name_of(health_status x) noexcept;
std::string_view name_of(probe_result::label x) noexcept;

result<health_profile> parse_profile(std::string_view text);
result<probe_role> parse_role(std::string_view text);
result<probe_kind> parse_kind(std::string_view text);

/// A question as one word: `http://:8080/health`, `https://[::1]:8443/`, `tcp://:6379`,
/// `grpc://:9000/SERVICE`, `grpcs://:9443/SERVICE`, `unix:/run/app.sock`, `file:/run/alive`.
/// Without an address it is 127.0.0.1; without a port http has 80 and https 443.
result<probe_question> parse_question(std::string_view text);
/// What `parse_question` reads again, with its address and port; of exec, its command.
std::string text_of(const probe_question& q);

} // namespace gantry::runtime
