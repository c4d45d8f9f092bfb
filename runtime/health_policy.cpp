#include "runtime/health_policy.hpp"

#include <algorithm>

#include "messages/check.hpp"

namespace gantry::runtime {

namespace {

using label = probe_result::label;

constexpr int64_t second = 1'000'000'000;
constexpr int docker_says_starting = 2; // An exit code, of 2016.

bool docker(const health_policy& policy) { return policy.profile != health_profile::kubernetes; }

std::optional<size_t> find(const health_policy& policy, probe_role role) {
  for (size_t i = 0; i < policy.probes.size(); ++i)
    if (policy.probes[i].role == role)
      return i;
  return {};
}

/// Nobody else is asked before the startup probe has passed.
bool waits_for_startup(const health_policy& policy, const health_state& state, size_t which) {
  const auto startup = find(policy, probe_role::startup);
  return startup && *startup != which && !state.probes[*startup].passed;
}

bool askable(const health_policy& policy, const health_state& state, size_t which) {
  const auto& s = state.probes[which];
  if (policy.probes[which].question.kind == probe_kind::notify)
    return false; // It speaks, and is not asked.
  if (state.frozen || s.runs || waits_for_startup(policy, state, which))
    return false;
  return !(policy.probes[which].role == probe_role::startup && s.passed); // Once is enough.
}

/// Whether a failure of a probe that began then is a part of starting.
bool in_start_period(const probe& p, const health_state& state, int64_t at_ns) {
  return p.start_period_ns > 0 && state.status == health_status::starting
         && at_ns - state.started_ns < p.start_period_ns;
}

int64_t interval_of(const probe& p, const health_state& state, int64_t now_ns) {
  return in_start_period(p, state, now_ns) ? std::min(p.start_interval_ns, p.interval_ns)
                                           : p.interval_ns;
}

int64_t first_of(const health_policy& policy, const probe& p, const health_state& state) {
  return docker(policy) ? state.started_ns + interval_of(p, state, state.started_ns)
                        : state.started_ns + p.initial_delay_ns;
}

int64_t next_of(const health_policy& policy, const probe& p, const health_state& state,
                const probe_result& r) {
  if (docker(policy))
    return r.ended_ns + interval_of(p, state, r.ended_ns);
  return std::max(r.began_ns + p.interval_ns, r.ended_ns);
}

label final_label(const health_policy& policy, const probe& p, const health_state& state,
                  const probe_result& r) {
  if (policy.profile == health_profile::docker_2016 && r.what == label::failed
      && r.exit_code == docker_says_starting && state.status == health_status::starting)
    return label::starting;
  if ((r.what == label::failed || r.what == label::timeout || r.what == label::throttled)
      && in_start_period(p, state, r.began_ns))
    return label::slow_start;
  return r.what;
}

bool counts(const health_policy& policy, label what) {
  return what == label::failed || what == label::timeout
         || (what == label::throttled && !policy.ignore_throttled);
}

void count(const health_policy& policy, const probe& p, probe_state& s, label what) {
  if (what == label::passed) {
    s.failures = 0;
    if (++s.successes >= p.successes) {
      s.passed = true;
      s.failed = false;
    }
    return;
  }
  if (!counts(policy, what))
    return;
  s.successes = 0;
  if (++s.failures >= p.failures) {
    s.failed = true;
    // What has started once has started.
    s.passed = s.passed && p.role == probe_role::startup;
  }
}

health_status status_of(const health_policy& policy, const health_state& state) {
  if (policy.probes.empty())
    return health_status::none;
  bool all_passed = true;
  for (size_t i = 0; i < policy.probes.size(); ++i) {
    const auto& s = state.probes[i];
    if (policy.probes[i].role == probe_role::readiness) {
      // It was ready once: that it is not now is no illness.
      all_passed = all_passed && (s.passed || state.status != health_status::starting);
      continue;
    }
    if (s.failed)
      return health_status::unhealthy;
    all_passed = all_passed && s.passed;
  }
  if (all_passed)
    return health_status::healthy;
  // Some successes are still missing for a word about it: it stays what it was.
  return state.status == health_status::unhealthy ? health_status::unhealthy
                                                  : health_status::starting;
}

bool ready_of(const health_policy& policy, const health_state& state) {
  const auto readiness = find(policy, probe_role::readiness);
  const auto notify = find(policy, probe_role::notify);
  if (!readiness && !notify)
    return state.status == health_status::healthy;
  return !state.stopping && (!readiness || state.probes[*readiness].passed)
         && (!notify || state.probes[*notify].passed);
}

void keep(const health_policy& policy, probe_state& s, probe_result r) {
  s.results.push_back(std::move(r));
  while (s.results.size() > policy.history)
    s.results.pop_front();
}

/// What follows for the ladder. @param was The status before.
void follow_ladder(const health_policy& policy, health_state& state, health_status was,
                   const probe& p, const probe_state& s, const probe_result& r) {
  const auto& ladder = policy.on_unhealthy;
  if (state.status == health_status::healthy) {
    if (was != health_status::healthy)
      state.healthy_ns = r.ended_ns;
    state.acts = false;
  } else if (state.status == health_status::unhealthy && was != health_status::unhealthy) {
    if (begins_anew(ladder, state.healthy_ns, r.ended_ns))
      state.actions = 0;
    state.healthy_ns = 0;
    state.acts = !ladder.steps.empty();
  } else if (state.status == health_status::unhealthy && s.failed && counts(policy, r.what)
             && s.failures % p.failures == 0 && ladder.goes_on(state.actions)) {
    state.acts = true;
  }
}

} // namespace

probe default_probe(health_profile profile, probe_role role) {
  probe out;
  out.role = role;
  if (profile == health_profile::kubernetes) {
    out.interval_ns = 10 * second;
    out.timeout_ns = second;
    out.failures = 3;
    return out;
  }
  out.interval_ns = 30 * second;
  out.timeout_ns = 30 * second;
  out.failures = profile == health_profile::docker_2016 ? 1 : 3;
  out.start_interval_ns = profile == health_profile::docker_2016 ? 0 : 5 * second;
  return out;
}

health_state begin_health(const health_policy& policy, int64_t now_ns) {
  health_state out;
  out.started_ns = now_ns;
  out.probes.resize(policy.probes.size());
  if (!policy.probes.empty())
    out.status = health_status::starting;
  for (size_t i = 0; i < policy.probes.size(); ++i)
    out.probes[i].next_ns = first_of(policy, policy.probes[i], out);
  return out;
}

void spread_health(const health_policy& policy, health_state& state, uint64_t seed, double share) {
  constexpr uint64_t golden = 0x9e3779b97f4a7c15; // 2^64 / φ: neighbours come to lie far apart.
  for (size_t i = 0; i < state.probes.size(); ++i) {
    const auto part = double(((seed + i) * golden) >> 11) / double(uint64_t{1} << 53);
    if (state.probes[i].results.empty())
      state.probes[i].next_ns += int64_t(share * part * double(policy.probes[i].interval_ns));
  }
}

std::optional<int64_t> next_probe(const health_policy& policy, const health_state& state) {
  std::optional<int64_t> out;
  for (size_t i = 0; i < state.probes.size(); ++i)
    if (askable(policy, state, i))
      out = std::min(out.value_or(INT64_MAX), state.probes[i].next_ns);
  return out;
}

std::optional<size_t> take_due_probe(const health_policy& policy, health_state& state,
                                     int64_t now_ns) {
  for (size_t i = 0; i < state.probes.size(); ++i)
    if (askable(policy, state, i) && state.probes[i].next_ns <= now_ns) {
      state.probes[i].runs = true;
      state.probes[i].began_ns = now_ns;
      return i;
    }
  return {};
}

std::optional<health_change> end_probe(const health_policy& policy, health_state& state,
                                       size_t which, probe_result result) {
  GANTRY_CHECK(which < state.probes.size());
  const auto& p = policy.probes[which];
  auto& s = state.probes[which];
  health_change change{.from = state.status, .to = {}, .was_ready = state.ready, .ready = {},
                       .probe = which};
  result.what = final_label(policy, p, state, result);
  s.runs = false;
  count(policy, p, s, result.what);
  state.status = status_of(policy, state);
  state.ready = ready_of(policy, state);
  follow_ladder(policy, state, change.from, p, s, result);
  s.next_ns = next_of(policy, p, state, result); // After the change: starting has its own interval.
  if (p.role == probe_role::startup && s.passed)
    for (size_t i = 0; i < state.probes.size(); ++i)
      if (i != which)
        state.probes[i].next_ns =
          std::max(result.ended_ns, first_of(policy, policy.probes[i], state));
  keep(policy, s, std::move(result));
  change.to = state.status;
  change.ready = state.ready;
  if (change.from == change.to && change.was_ready == change.ready)
    return {};
  return change;
}

bool is_throttled(const probe_result& result, uint64_t throttled_ns) {
  constexpr int not_executable = 126; // And 127: not there.
  if (result.what != label::failed && result.what != label::timeout)
    return false;
  const auto took = uint64_t(std::max<int64_t>(1, result.ended_ns - result.began_ns));
  return result.exit_code < not_executable && throttled_ns >= took / 10 && throttled_ns > 0;
}

void drop_probe(const health_policy& policy, health_state& state, size_t which, int64_t now_ns) {
  GANTRY_CHECK(which < state.probes.size());
  auto& s = state.probes[which];
  s.runs = false;
  s.next_ns = now_ns + interval_of(policy.probes[which], state, now_ns);
}

void stop_being_ready(health_state& state) noexcept {
  state.stopping = true;
  state.ready = false;
}

std::optional<size_t> notify_probe(const health_policy& policy) noexcept {
  return find(policy, probe_role::notify);
}

void freeze_health(health_state& state) {
  state.frozen = true;
  for (auto& s : state.probes)
    s.runs = false;
}

void thaw_health(const health_policy& policy, health_state& state, int64_t now_ns) {
  state.frozen = false;
  for (size_t i = 0; i < state.probes.size(); ++i)
    drop_probe(policy, state, i, now_ns);
}

bool hurry_probe(const health_policy& policy, health_state& state, size_t which, int64_t now_ns) {
  if (which >= state.probes.size() || !askable(policy, state, which))
    return false;
  state.probes[which].next_ns = now_ns;
  return true;
}

namespace {
/// So long after its time a process has ended that was killed then.
constexpr int64_t old_one_goes_ns = 100'000'000;
} // namespace

void change_health(const health_policy& old_policy, const health_policy& policy,
                   health_state& state, int64_t now_ns) {
  auto next = begin_health(policy, now_ns);
  next.started_ns = state.started_ns;
  next.frozen = state.frozen;
  next.stopping = state.stopping;
  next.actions = state.actions;
  next.healthy_ns = state.healthy_ns;
  next.acts = state.acts && !policy.on_unhealthy.steps.empty();
  for (size_t i = 0; i < policy.probes.size(); ++i)
    if (const auto known = find(old_policy, policy.probes[i].role)) {
      auto& s = next.probes[i];
      const auto first = s.next_ns;
      s = state.probes[*known];
      const auto& old = old_policy.probes[*known];
      if (s.runs && old.question.kind == probe_kind::exec) // Not before that one is over.
        s.next_ns = now_ns + old.timeout_ns + old_one_goes_ns;
      else
        s.next_ns = std::min(std::max(s.next_ns, now_ns), first);
      s.runs = false; // A run of the old one says nothing about the new one.
      while (s.results.size() > policy.history)
        s.results.pop_front();
    }
  next.status = policy.probes.empty() ? health_status::none
                : state.status == health_status::none ? health_status::starting
                                                      : state.status;
  next.ready = ready_of(policy, next);
  state = std::move(next);
}

} // namespace gantry::runtime
