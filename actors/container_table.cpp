#include "actors/container_table.hpp"

namespace gantry::actors {

namespace {

using enum verdict;
using p = phase;
using e = event;

// clang-format off
constexpr std::array rules{
  // creating
  rule{p::creating, e::made, go, p::created},
  rule{p::creating, e::made_running, go, p::running},
  rule{p::creating, e::made_to_start, go, p::starting},
  rule{p::creating, e::make_failed, go, p::gone},
  rule{p::creating, e::start, later, p::creating},
  rule{p::creating, e::started, bug, p::creating},
  rule{p::creating, e::start_failed, bug, p::creating},
  rule{p::creating, e::exec, later, p::creating},
  rule{p::creating, e::kill, later, p::creating},
  rule{p::creating, e::stop, later, p::creating},
  rule{p::creating, e::pause, later, p::creating},
  rule{p::creating, e::frozen, ignore, p::creating, "the freeze was overtaken by an end or a resume"},
  rule{p::creating, e::freeze_failed, ignore, p::creating, "the freeze was overtaken by an end or a resume"},
  rule{p::creating, e::resume, later, p::creating},
  rule{p::creating, e::update, later, p::creating},
  rule{p::creating, e::checkpoint, later, p::creating},
  rule{p::creating, e::checkpointed, bug, p::creating},
  rule{p::creating, e::checkpoint_failed, bug, p::creating},
  rule{p::creating, e::exited, later, p::creating},
  rule{p::creating, e::unstarted, later, p::creating},
  rule{p::creating, e::remove, later, p::creating},
  rule{p::creating, e::remove_force, later, p::creating},
  rule{p::creating, e::deleted, bug, p::creating},
  rule{p::creating, e::delete_failed, bug, p::creating},
  // created
  rule{p::created, e::made, bug, p::created},
  rule{p::created, e::made_running, bug, p::created},
  rule{p::created, e::made_to_start, bug, p::created},
  rule{p::created, e::make_failed, bug, p::created},
  rule{p::created, e::start, go, p::starting},
  rule{p::created, e::started, bug, p::created},
  rule{p::created, e::start_failed, bug, p::created},
  rule{p::created, e::exec, refuse, p::created, "it is created, not started: start it first"},
  rule{p::created, e::kill, go, p::created},
  rule{p::created, e::stop, go, p::stopping},
  rule{p::created, e::pause, refuse, p::created, "it is created, not started: nothing to pause"},
  rule{p::created, e::frozen, ignore, p::created, "the freeze was overtaken by an end or a resume"},
  rule{p::created, e::freeze_failed, ignore, p::created, "the freeze was overtaken by an end or a resume"},
  rule{p::created, e::resume, refuse, p::created, "it is not paused"},
  rule{p::created, e::update, go, p::created},
  rule{p::created, e::checkpoint, refuse, p::created, "it is created, not started: nothing to checkpoint"},
  rule{p::created, e::checkpointed, bug, p::created},
  rule{p::created, e::checkpoint_failed, bug, p::created},
  rule{p::created, e::exited, bug, p::created},
  rule{p::created, e::unstarted, go, p::stopped},
  rule{p::created, e::remove, go, p::deleting},
  rule{p::created, e::remove_force, go, p::deleting},
  rule{p::created, e::deleted, bug, p::created},
  rule{p::created, e::delete_failed, bug, p::created},
  // starting
  rule{p::starting, e::made, bug, p::starting},
  rule{p::starting, e::made_running, bug, p::starting},
  rule{p::starting, e::made_to_start, bug, p::starting},
  rule{p::starting, e::make_failed, bug, p::starting},
  rule{p::starting, e::start, later, p::starting},
  rule{p::starting, e::started, go, p::running},
  rule{p::starting, e::start_failed, go, p::stopped},
  rule{p::starting, e::exec, later, p::starting},
  rule{p::starting, e::kill, later, p::starting},
  rule{p::starting, e::stop, later, p::starting},
  rule{p::starting, e::pause, later, p::starting},
  rule{p::starting, e::frozen, ignore, p::starting, "the freeze was overtaken by an end or a resume"},
  rule{p::starting, e::freeze_failed, ignore, p::starting, "the freeze was overtaken by an end or a resume"},
  rule{p::starting, e::resume, later, p::starting},
  rule{p::starting, e::update, later, p::starting},
  rule{p::starting, e::checkpoint, later, p::starting},
  rule{p::starting, e::checkpointed, bug, p::starting},
  rule{p::starting, e::checkpoint_failed, bug, p::starting},
  rule{p::starting, e::exited, later, p::starting},
  rule{p::starting, e::unstarted, later, p::starting},
  rule{p::starting, e::remove, later, p::starting},
  rule{p::starting, e::remove_force, later, p::starting},
  rule{p::starting, e::deleted, bug, p::starting},
  rule{p::starting, e::delete_failed, bug, p::starting},
  // running
  rule{p::running, e::made, bug, p::running},
  rule{p::running, e::made_running, bug, p::running},
  rule{p::running, e::made_to_start, bug, p::running},
  rule{p::running, e::make_failed, bug, p::running},
  rule{p::running, e::start, refuse, p::running, "it is running already"},
  rule{p::running, e::started, bug, p::running},
  rule{p::running, e::start_failed, bug, p::running},
  rule{p::running, e::exec, go, p::running},
  rule{p::running, e::kill, go, p::running},
  rule{p::running, e::stop, go, p::stopping},
  rule{p::running, e::pause, go, p::pausing},
  rule{p::running, e::frozen, ignore, p::running, "the freeze was overtaken by an end or a resume"},
  rule{p::running, e::freeze_failed, ignore, p::running, "the freeze was overtaken by an end or a resume"},
  rule{p::running, e::resume, refuse, p::running, "it is not paused"},
  rule{p::running, e::update, go, p::running},
  rule{p::running, e::checkpoint, go, p::checkpointing},
  rule{p::running, e::checkpointed, bug, p::running},
  rule{p::running, e::checkpoint_failed, bug, p::running},
  rule{p::running, e::exited, go, p::stopped},
  rule{p::running, e::unstarted, ignore, p::running, "it was started meanwhile: its exit is on the way"},
  rule{p::running, e::remove, refuse, p::running, "it is running: stop it first, or remove it with force"},
  rule{p::running, e::remove_force, go, p::deleting},
  rule{p::running, e::deleted, bug, p::running},
  rule{p::running, e::delete_failed, bug, p::running},
  // pausing
  rule{p::pausing, e::made, bug, p::pausing},
  rule{p::pausing, e::made_running, bug, p::pausing},
  rule{p::pausing, e::made_to_start, bug, p::pausing},
  rule{p::pausing, e::make_failed, bug, p::pausing},
  rule{p::pausing, e::start, refuse, p::pausing, "it is running already"},
  rule{p::pausing, e::started, bug, p::pausing},
  rule{p::pausing, e::start_failed, bug, p::pausing},
  rule{p::pausing, e::exec, refuse, p::pausing, "it is being paused: resume it first"},
  rule{p::pausing, e::kill, later, p::pausing},
  rule{p::pausing, e::stop, later, p::pausing},
  rule{p::pausing, e::pause, later, p::pausing},
  rule{p::pausing, e::frozen, go, p::paused},
  rule{p::pausing, e::freeze_failed, go, p::running},
  rule{p::pausing, e::resume, later, p::pausing},
  rule{p::pausing, e::update, later, p::pausing},
  rule{p::pausing, e::checkpoint, later, p::pausing},
  rule{p::pausing, e::checkpointed, bug, p::pausing},
  rule{p::pausing, e::checkpoint_failed, bug, p::pausing},
  rule{p::pausing, e::exited, go, p::stopped},
  rule{p::pausing, e::unstarted, ignore, p::pausing, "it was started meanwhile: its exit is on the way"},
  rule{p::pausing, e::remove, refuse, p::pausing, "it is being paused: stop it first, or remove it with force"},
  rule{p::pausing, e::remove_force, later, p::pausing},
  rule{p::pausing, e::deleted, bug, p::pausing},
  rule{p::pausing, e::delete_failed, bug, p::pausing},
  // paused
  rule{p::paused, e::made, bug, p::paused},
  rule{p::paused, e::made_running, bug, p::paused},
  rule{p::paused, e::made_to_start, bug, p::paused},
  rule{p::paused, e::make_failed, bug, p::paused},
  rule{p::paused, e::start, refuse, p::paused, "it is paused: resume it"},
  rule{p::paused, e::started, bug, p::paused},
  rule{p::paused, e::start_failed, bug, p::paused},
  rule{p::paused, e::exec, refuse, p::paused, "it is paused: resume it first"},
  rule{p::paused, e::kill, go, p::paused},
  rule{p::paused, e::stop, go, p::stopping},
  rule{p::paused, e::pause, done, p::paused},
  rule{p::paused, e::frozen, ignore, p::paused, "the freeze was overtaken by an end or a resume"},
  rule{p::paused, e::freeze_failed, ignore, p::paused, "the freeze was overtaken by an end or a resume"},
  rule{p::paused, e::resume, go, p::running},
  rule{p::paused, e::update, go, p::paused},
  rule{p::paused, e::checkpoint, refuse, p::paused, "it is paused: resume it first"},
  rule{p::paused, e::checkpointed, bug, p::paused},
  rule{p::paused, e::checkpoint_failed, bug, p::paused},
  rule{p::paused, e::exited, go, p::stopped},
  rule{p::paused, e::unstarted, ignore, p::paused, "it was started meanwhile: its exit is on the way"},
  rule{p::paused, e::remove, refuse, p::paused, "it is paused: stop it first, or remove it with force"},
  rule{p::paused, e::remove_force, go, p::deleting},
  rule{p::paused, e::deleted, bug, p::paused},
  rule{p::paused, e::delete_failed, bug, p::paused},
  // checkpointing
  rule{p::checkpointing, e::made, bug, p::checkpointing},
  rule{p::checkpointing, e::made_running, bug, p::checkpointing},
  rule{p::checkpointing, e::made_to_start, bug, p::checkpointing},
  rule{p::checkpointing, e::make_failed, bug, p::checkpointing},
  rule{p::checkpointing, e::start, refuse, p::checkpointing, "it is running already"},
  rule{p::checkpointing, e::started, bug, p::checkpointing},
  rule{p::checkpointing, e::start_failed, bug, p::checkpointing},
  rule{p::checkpointing, e::exec, later, p::checkpointing},
  rule{p::checkpointing, e::kill, go, p::checkpointing},
  rule{p::checkpointing, e::stop, later, p::checkpointing},
  rule{p::checkpointing, e::pause, later, p::checkpointing},
  rule{p::checkpointing, e::frozen, ignore, p::checkpointing, "the freeze was overtaken by an end or a resume"},
  rule{p::checkpointing, e::freeze_failed, ignore, p::checkpointing, "the freeze was overtaken by an end or a resume"},
  rule{p::checkpointing, e::resume, refuse, p::checkpointing, "it is not paused"},
  rule{p::checkpointing, e::update, later, p::checkpointing},
  rule{p::checkpointing, e::checkpoint, later, p::checkpointing},
  rule{p::checkpointing, e::checkpointed, go, p::running},
  rule{p::checkpointing, e::checkpoint_failed, go, p::running},
  rule{p::checkpointing, e::exited, later, p::checkpointing},
  rule{p::checkpointing, e::unstarted, ignore, p::checkpointing, "it was started meanwhile: its exit is on the way"},
  rule{p::checkpointing, e::remove, refuse, p::checkpointing, "it is being checkpointed: stop it first, or remove it with force"},
  rule{p::checkpointing, e::remove_force, later, p::checkpointing},
  rule{p::checkpointing, e::deleted, bug, p::checkpointing},
  rule{p::checkpointing, e::delete_failed, bug, p::checkpointing},
  // stopping
  rule{p::stopping, e::made, bug, p::stopping},
  rule{p::stopping, e::made_running, bug, p::stopping},
  rule{p::stopping, e::made_to_start, bug, p::stopping},
  rule{p::stopping, e::make_failed, bug, p::stopping},
  rule{p::stopping, e::start, refuse, p::stopping, "it is being stopped"},
  rule{p::stopping, e::started, bug, p::stopping},
  rule{p::stopping, e::start_failed, bug, p::stopping},
  rule{p::stopping, e::exec, refuse, p::stopping, "it is being stopped"},
  rule{p::stopping, e::kill, go, p::stopping},
  rule{p::stopping, e::stop, go, p::stopping},
  rule{p::stopping, e::pause, refuse, p::stopping, "it is being stopped"},
  rule{p::stopping, e::frozen, ignore, p::stopping, "the freeze was overtaken by an end or a resume"},
  rule{p::stopping, e::freeze_failed, ignore, p::stopping, "the freeze was overtaken by an end or a resume"},
  rule{p::stopping, e::resume, refuse, p::stopping, "it is being stopped"},
  rule{p::stopping, e::update, refuse, p::stopping, "it is being stopped"},
  rule{p::stopping, e::checkpoint, refuse, p::stopping, "it is being stopped"},
  rule{p::stopping, e::checkpointed, bug, p::stopping},
  rule{p::stopping, e::checkpoint_failed, bug, p::stopping},
  rule{p::stopping, e::exited, go, p::stopped},
  rule{p::stopping, e::unstarted, go, p::stopped},
  rule{p::stopping, e::remove, later, p::stopping},
  rule{p::stopping, e::remove_force, go, p::deleting},
  rule{p::stopping, e::deleted, bug, p::stopping},
  rule{p::stopping, e::delete_failed, bug, p::stopping},
  // stopped
  rule{p::stopped, e::made, bug, p::stopped},
  rule{p::stopped, e::made_running, bug, p::stopped},
  rule{p::stopped, e::made_to_start, bug, p::stopped},
  rule{p::stopped, e::make_failed, bug, p::stopped},
  rule{p::stopped, e::start, go, p::creating},
  rule{p::stopped, e::started, bug, p::stopped},
  rule{p::stopped, e::start_failed, bug, p::stopped},
  rule{p::stopped, e::exec, refuse, p::stopped, "it has stopped: start it first"},
  rule{p::stopped, e::kill, refuse, p::stopped, "it has stopped already"},
  rule{p::stopped, e::stop, done, p::stopped},
  rule{p::stopped, e::pause, refuse, p::stopped, "it has stopped"},
  rule{p::stopped, e::frozen, ignore, p::stopped, "the freeze was overtaken by an end or a resume"},
  rule{p::stopped, e::freeze_failed, ignore, p::stopped, "the freeze was overtaken by an end or a resume"},
  rule{p::stopped, e::resume, refuse, p::stopped, "it has stopped"},
  rule{p::stopped, e::update, refuse, p::stopped, "it has stopped"},
  rule{p::stopped, e::checkpoint, refuse, p::stopped, "it has stopped"},
  rule{p::stopped, e::checkpointed, bug, p::stopped},
  rule{p::stopped, e::checkpoint_failed, bug, p::stopped},
  rule{p::stopped, e::exited, bug, p::stopped},
  rule{p::stopped, e::unstarted, go, p::stopped},
  rule{p::stopped, e::remove, go, p::deleting},
  rule{p::stopped, e::remove_force, go, p::deleting},
  rule{p::stopped, e::deleted, bug, p::stopped},
  rule{p::stopped, e::delete_failed, bug, p::stopped},
  // deleting
  rule{p::deleting, e::made, bug, p::deleting},
  rule{p::deleting, e::made_running, bug, p::deleting},
  rule{p::deleting, e::made_to_start, bug, p::deleting},
  rule{p::deleting, e::make_failed, bug, p::deleting},
  rule{p::deleting, e::start, refuse, p::deleting, "it is being removed"},
  rule{p::deleting, e::started, bug, p::deleting},
  rule{p::deleting, e::start_failed, bug, p::deleting},
  rule{p::deleting, e::exec, refuse, p::deleting, "it is being removed"},
  rule{p::deleting, e::kill, refuse, p::deleting, "it is being removed"},
  rule{p::deleting, e::stop, later, p::deleting},
  rule{p::deleting, e::pause, refuse, p::deleting, "it is being removed"},
  rule{p::deleting, e::frozen, ignore, p::deleting, "the freeze was overtaken by an end or a resume"},
  rule{p::deleting, e::freeze_failed, ignore, p::deleting, "the freeze was overtaken by an end or a resume"},
  rule{p::deleting, e::resume, refuse, p::deleting, "it is being removed"},
  rule{p::deleting, e::update, refuse, p::deleting, "it is being removed"},
  rule{p::deleting, e::checkpoint, refuse, p::deleting, "it is being removed"},
  rule{p::deleting, e::checkpointed, bug, p::deleting},
  rule{p::deleting, e::checkpoint_failed, bug, p::deleting},
  rule{p::deleting, e::exited, go, p::deleting},
  rule{p::deleting, e::unstarted, go, p::deleting},
  rule{p::deleting, e::remove, go, p::deleting},
  rule{p::deleting, e::remove_force, go, p::deleting},
  rule{p::deleting, e::deleted, go, p::gone},
  rule{p::deleting, e::delete_failed, go, p::stopped},
  // gone
  rule{p::gone, e::made, bug, p::gone},
  rule{p::gone, e::made_running, bug, p::gone},
  rule{p::gone, e::made_to_start, bug, p::gone},
  rule{p::gone, e::make_failed, bug, p::gone},
  rule{p::gone, e::start, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::started, bug, p::gone},
  rule{p::gone, e::start_failed, bug, p::gone},
  rule{p::gone, e::exec, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::kill, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::stop, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::pause, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::frozen, ignore, p::gone, "the freeze was overtaken by an end or a resume"},
  rule{p::gone, e::freeze_failed, ignore, p::gone, "the freeze was overtaken by an end or a resume"},
  rule{p::gone, e::resume, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::update, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::checkpoint, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::checkpointed, bug, p::gone},
  rule{p::gone, e::checkpoint_failed, bug, p::gone},
  rule{p::gone, e::exited, ignore, p::gone, "its end was told with its removal"},
  rule{p::gone, e::unstarted, ignore, p::gone, "its end was told with its removal"},
  rule{p::gone, e::remove, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::remove_force, refuse, p::gone, "it has been removed"},
  rule{p::gone, e::deleted, bug, p::gone},
  rule{p::gone, e::delete_failed, bug, p::gone},
};
// clang-format on

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
  "creating",      "created",  "starting", "running",  "pausing", "paused",
  "checkpointing", "stopping", "stopped",  "deleting", "gone"};

constexpr std::array<std::string_view, size_t(event::count_)> event_names{
  "made", "made_running", "made_to_start", "make_failed", "start", "started", "start_failed",
  "exec", "kill", "stop", "pause", "frozen", "freeze_failed", "resume", "update", "checkpoint",
  "checkpointed", "checkpoint_failed", "exited", "unstarted",
  "remove", "remove_force", "deleted", "delete_failed"};

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
    case v1::RUNNING: return phase::running;
    case v1::PAUSING: return phase::pausing;
    case v1::PAUSED: return phase::paused;
    case v1::CHECKPOINTING: return phase::checkpointing;
    case v1::STOPPING: return phase::stopping;
    case v1::DELETING: return phase::deleting;
    default: return phase::stopped;
  }
}

} // namespace gantry::actors
