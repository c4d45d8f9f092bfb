#include <cstddef>
#include <cstdint>
#include <string_view>

#include "messages/check.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/notify_policy.hpp"

// What a container says at its notify socket, and what follows from it: whatever the bytes, a
// status is text of a bounded length, and no deadline is put off beyond its limit.

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gantry::runtime;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto m = parse_notify(text);
  GANTRY_CHECK(!m.status || m.status->size() <= max_notify_status);
  GANTRY_CHECK(!m.status || (is_clean_text(*m.status) && !m.status->ends_with('\n')));
  GANTRY_CHECK(!m.watchdog_ns || *m.watchdog_ns == 0 || *m.watchdog_ns >= least_watchdog_ns);
  GANTRY_CHECK(!m.extend_ns || *m.extend_ns >= 0);
  GANTRY_CHECK(m.ignored <= size);
  GANTRY_CHECK(m == parse_notify(text));
  const notify_policy policy{.watchdog_ns = 5'000'000'000, .start_timeout_ns = 9'000'000'000};
  auto state = begin_notify(policy, 1);
  for (int i = 0; i < 3; ++i) {
    const auto step = hear(policy, state, m, 1 + i);
    GANTRY_CHECK(state.due_ns >= 0 && state.due_ns <= state.limit_ns);
    GANTRY_CHECK(!step.alive || (state.ready && !state.stopping));
    GANTRY_CHECK(step.what.empty() || step.told);
  }
  auto again = notify_state_of(policy, kept_notify(state), 5);
  GANTRY_CHECK(again.status == state.status && again.ready == state.ready);
  return 0;
}
