#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/notify_policy.hpp"

// Notify sockets in specs, records and replies.

namespace gantry::runtime {

namespace {

constexpr int64_t ms = 1'000'000;
constexpr int64_t longest_ns = int64_t{24} * 3600 * 1'000'000'000;

result<void> check_time(std::string_view field, int64_t ns, int64_t least_ns,
                        std::string_view cure) {
  if (ns == 0 || (ns >= least_ns && ns <= longest_ns))
    return {};
  return bad(field, std::to_string(ns) + " ns", cure);
}

} // namespace

result<std::optional<notify_policy>> notify_policy_of(const v1::ContainerSpec& spec) {
  if (!spec.has_notify())
    return std::optional<notify_policy>{};
  const auto& said = spec.notify();
  if (auto fine = check_time("watchdog", said.watchdog_ns(), least_watchdog_ns,
                             "use 100ms to 24h: 10s, 1m"); !fine)
    return fine.why();
  if (auto fine = check_time("notify start timeout", said.start_timeout_ns(), ms,
                             "use 1ms to 24h: 30s, 2m"); !fine)
    return fine.why();
  notify_policy out;
  if (said.has_extend_max_ns())
    out.extend_max_ns = said.extend_max_ns();
  if (auto fine = check_time("notify extension", out.extend_max_ns, ms,
                             "use 1ms to 24h, or 0 to allow none"); !fine)
    return fine.why();
  if (!said.heard().empty() && said.heard() != "all" && said.heard() != "main")
    return bad("notify access", shown(said.heard()),
               "use all (every process of the container) or main (its init)");
  out.watchdog_ns = said.watchdog_ns();
  out.start_timeout_ns = said.start_timeout_ns();
  out.init_only = said.heard() == "main";
  return std::optional{out};
}

notify_state notify_state_of(const notify_policy& policy, const journal::NotifyNow& kept,
                             int64_t now_ns) {
  notify_state out;
  out.ready = kept.ready();
  out.reloading = kept.reloading();
  out.stopping = kept.stopping();
  out.status = kept.status();
  out.watchdog_ns = kept.watchdog_ns();
  out.due_ns = kept.due_ns();
  out.limit_ns = kept.limit_ns();
  out.datagrams = kept.datagrams();
  out.refused = kept.refused();
  out.ignored = kept.ignored();
  if (out.due_ns == 0)
    thaw_notify(policy, out, now_ns);
  return out;
}

journal::NotifyNow kept_notify(const notify_state& state) {
  journal::NotifyNow out;
  out.set_ready(state.ready);
  out.set_reloading(state.reloading);
  out.set_stopping(state.stopping);
  out.set_status(state.status);
  out.set_watchdog_ns(state.watchdog_ns);
  out.set_due_ns(state.due_ns);
  out.set_limit_ns(state.limit_ns);
  out.set_datagrams(state.datagrams);
  out.set_refused(state.refused);
  out.set_ignored(state.ignored);
  return out;
}

v1::NotifyState notify_message_of(const notify_state& state, int64_t clock_ns) {
  v1::NotifyState out;
  out.set_ready(state.ready);
  out.set_reloading(state.reloading);
  out.set_stopping(state.stopping);
  out.set_status(state.status);
  out.set_watchdog_ns(state.watchdog_ns);
  out.set_due_ns(state.due_ns == 0 ? 0 : state.due_ns + clock_ns);
  out.set_datagrams(state.datagrams);
  out.set_refused(state.refused);
  out.set_ignored(state.ignored);
  return out;
}

} // namespace gantry::runtime
