#include "runtime/notify_policy.hpp"

#include <algorithm>
#include <limits>

namespace gantry::runtime {

namespace {

/// Of times that may be for ever.
int64_t sum(int64_t a, int64_t b) {
  return a > std::numeric_limits<int64_t>::max() - b ? std::numeric_limits<int64_t>::max() : a + b;
}

void set_deadline(const notify_policy& policy, notify_state& state, int64_t span_ns,
                  int64_t now_ns) {
  state.due_ns = span_ns > 0 ? sum(now_ns, span_ns) : 0;
  state.limit_ns = span_ns > 0 ? sum(state.due_ns, policy.extend_max_ns) : 0;
}

/// The time that it has until the next word.
int64_t span_of(const notify_policy& policy, const notify_state& state) {
  return state.stopping ? 0 : state.ready ? state.watchdog_ns : policy.start_timeout_ns;
}

std::string time_text(int64_t ns) {
  const auto ms = ns / 1'000'000;
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

void take_flags(notify_state& state, const notify_message& m, notify_step& out) {
  if (m.reloading && !m.ready && !state.reloading) {
    state.reloading = true;
    out.what = "reloading";
  }
  if (m.ready) {
    if (!state.ready)
      out.what = "ready";
    else if (state.reloading)
      out.what = "reloaded";
    state.ready = true;
    state.reloading = false;
  }
  if (m.stopping && !state.stopping) {
    state.stopping = true;
    out.what = "stopping";
  }
  out.told = !out.what.empty();
}

} // namespace

notify_state begin_notify(const notify_policy& policy, int64_t now_ns) {
  notify_state out;
  out.watchdog_ns = policy.watchdog_ns;
  set_deadline(policy, out, policy.start_timeout_ns, now_ns);
  return out;
}

notify_step hear(const notify_policy& policy, notify_state& state, const notify_message& m,
                 int64_t now_ns) {
  notify_step out;
  const bool was_ready = state.ready;
  ++state.datagrams;
  state.ignored += m.ignored;
  take_flags(state, m, out);
  if (m.status && *m.status != state.status) {
    state.status = *m.status;
    out.told = true;
  }
  if (m.watchdog_ns && *m.watchdog_ns != state.watchdog_ns) {
    state.watchdog_ns = *m.watchdog_ns;
    out.told = true;
  }
  const bool watched = state.ready && !state.stopping && !state.in_grace;
  out.alive = watched && (m.watchdog || !was_ready);
  out.triggered = watched && m.trigger;
  const bool stops = out.what == "stopping";
  if (!state.in_grace && (out.alive || stops || (watched && m.watchdog_ns)))
    set_deadline(policy, state, span_of(policy, state), now_ns);
  if (m.extend_ns && state.due_ns != 0) {
    const auto later = std::min(sum(now_ns, *m.extend_ns), state.limit_ns);
    out.put_off = later > state.due_ns;
    state.due_ns = std::max(state.due_ns, later);
  }
  return out;
}

std::string miss_deadline(const notify_policy& policy, notify_state& state, int64_t now_ns) {
  const auto span = span_of(policy, state);
  auto out = state.ready ? "it has not said WATCHDOG=1 for " + time_text(span)
                         : "it has not said READY=1 within " + time_text(span);
  if (!state.status.empty())
    out += "; its status: " + state.status;
  set_deadline(policy, state, span, now_ns);
  return out;
}

void thaw_notify(const notify_policy& policy, notify_state& state, int64_t now_ns) {
  set_deadline(policy, state, span_of(policy, state), now_ns);
}

void begin_grace(const notify_policy& policy, notify_state& state, int64_t grace_ns,
                 int64_t now_ns) {
  state.in_grace = true;
  set_deadline(policy, state, grace_ns, now_ns);
}

bool must_be_kept(const notify_state& state, int64_t kept_ns) noexcept {
  if (state.due_ns == kept_ns)
    return false;
  return state.due_ns == 0 || kept_ns == 0 || state.due_ns < kept_ns
         || state.due_ns - kept_ns >= state.watchdog_ns / kept_part;
}

void make_up_for(notify_state& state) noexcept {
  if (state.ready && state.due_ns != 0)
    state.due_ns = sum(state.due_ns, state.watchdog_ns / kept_part);
}

} // namespace gantry::runtime
