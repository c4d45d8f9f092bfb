#include <algorithm>

#include "runtime/world_impl.hpp"

// What checkpoints there are, and the one that is being taken.

namespace gantry::runtime {

namespace {

using journal::Record;

std::string name_in(const std::string& checkpoint) {
  v1::Checkpoint x;
  return x.ParseFromString(checkpoint) ? x.name() : std::string();
}

void forget(container_view& c, const std::string& name) {
  std::erase_if(c.checkpoints, [&name](const auto& x) { return name_in(x) == name; });
}

} // namespace

bool world::impl::apply_checkpoint(container_view& c, const Record& r) {
  auto over = [this, &c] {
    c.checkpointing.clear();
    if (c.state != v1::CHECKPOINTING)
      return;
    const auto* init = find_process(c, {});
    const bool ended = init == nullptr || init->phase == process_view::phase_t::exited;
    c.state = ended ? v1::STOPPED : v1::RUNNING;
    end_intent(c);
  };
  switch (r.body_case()) {
  case Record::kCheckpointing:
    if (c.state != v1::RUNNING)
      return true;
    begin_intent(c, r, r.checkpointing().op());
    c.before = v1::RUNNING;
    c.state = v1::CHECKPOINTING;
    c.checkpointing = r.checkpointing().SerializeAsString();
    if (!r.checkpointing().what().left_running())
      for (auto& p : c.processes)
        if (p.phase < process_view::phase_t::died)
          p.cause = r.seq();
    return true;
  case Record::kCheckpointed:
    forget(c, r.checkpointed().what().name());
    c.checkpoints.push_back(r.checkpointed().what().SerializeAsString());
    over();
    return true;
  case Record::kCheckpointFailed:
    for (auto& p : c.processes) // Whatever ends them now, it is not this.
      if (p.cause == c.intent_seq && p.phase < process_view::phase_t::died)
        p.cause = 0;
    over();
    return true;
  case Record::kCheckpointRemoved:
    forget(c, r.checkpoint_removed().name());
    return true;
  default:
    return false;
  }
}

} // namespace gantry::runtime
