#include "actors/container_table.hpp"

#include "actors/container_end_rules.hpp"
#include "actors/container_rules.hpp"

namespace gantry::actors {

namespace {

using enum verdict;

/// Both halves, one behind the other.
constexpr auto rules = [] {
  std::array<rule, table::rules_of_life.size() + table::rules_of_end.size()> out{};
  size_t n = 0;
  for (const auto& r : table::rules_of_life)
    out[n++] = r;
  for (const auto& r : table::rules_of_end)
    out[n++] = r;
  return out;
}();

/// True when every pair is decided exactly once, in the order of the enums, and every
/// refusal and every ignored event has its reason.
consteval bool decides_every_pair() {
  if (rules.size() != size_t(phase::count_) * size_t(event::count_))
    return false;
  for (size_t i = 0; i < rules.size(); ++i) {
    const auto& r = rules[i];
    if (size_t(r.from) * size_t(event::count_) + size_t(r.on) != i)
      return false;
    if ((r.what == refuse || r.what == ignore) && r.why.empty())
      return false;
    if (r.what != go && r.next != r.from)
      return false;
  }
  return true;
}
static_assert(decides_every_pair(), "a (phase, event) pair is missing, doubled or unexplained");

constexpr std::array<std::string_view, size_t(phase::count_)> phase_names{
  "creating", "created",       "starting", "waiting", "running",    "pausing",
  "paused",   "checkpointing", "stopping", "stopped", "restarting", "dead",
  "deleting", "gone"};

constexpr std::array<std::string_view, size_t(event::count_)> event_names{
  "made", "made_running", "made_to_start", "make_failed", "start", "started", "start_failed",
  "exec", "kill", "stop", "pause", "frozen", "freeze_failed", "resume", "update", "checkpoint",
  "checkpointed", "checkpoint_failed", "exited", "unstarted",
  "remove", "remove_force", "deleted", "delete_failed", "schedule", "give_up", "restart_due",
  "must_wait", "may_start"};

} // namespace

const rule& decide(phase from, event on) noexcept {
  return rules[size_t(from) * size_t(event::count_) + size_t(on)];
}

std::string_view name_of(phase x) noexcept { return phase_names[size_t(x)]; }

std::string_view name_of(event x) noexcept { return event_names[size_t(x)]; }

phase phase_of(v1::State state) noexcept {
  switch (state) {
    case v1::CREATING: return phase::creating;
    case v1::CREATED: return phase::created;
    case v1::STARTING: return phase::starting;
    case v1::WAITING: return phase::waiting;
    case v1::RUNNING: return phase::running;
    case v1::PAUSING: return phase::pausing;
    case v1::PAUSED: return phase::paused;
    case v1::CHECKPOINTING: return phase::checkpointing;
    case v1::STOPPING: return phase::stopping;
    case v1::RESTARTING: return phase::restarting;
    case v1::DEAD: return phase::dead;
    case v1::DELETING: return phase::deleting;
    default: return phase::stopped;
  }
}

} // namespace gantry::actors
