#include "actors/recorder.hpp"

#include "actors/stdio.hpp"
#include "io/scheduler.hpp"

namespace gantry::actors {

void recorder_state::sweep() {
  sweep_due = false;
  const auto now = host->loop.sys().realtime().count();
  for (const auto& old : host->ledger.now().beyond_bounds(now)) {
    journal::Record r;
    r.set_namespace_(old.name.ns);
    r.set_container(old.name.id);
    r.set_instance(old.instance);
    r.set_process(old.process);
    uint64_t serial = 0;
    if (const auto* c = host->ledger.now().find(old.name))
      if (const auto* p = c->process(old.process))
        serial = p->serial;
    r.mutable_process_forgotten();
    host->ledger.record(r);
    if (serial != 0)
      remove_logs(*host, serial, [] {});
  }
}

recorder_actor::behavior_type recorder(recorder_actor::stateful_pointer<recorder_state> self,
                                       services* host) {
  io::abort_on_surprise(*self);
  self->state.host = host;
  // Only an exit can push something over a bound: no timer, no wake-up while nothing ends.
  self->state.watch = host->ledger.on_record([self](const journal::Record& r) {
    if (!r.has_exited() || self->state.sweep_due)
      return;
    self->state.sweep_due = true;
    caf::anon_send(recorder_actor{self}, atom::sweep::value);
  });
  return {
    [self](atom::sweep) { self->state.sweep(); },
    [self](atom::shutdown) -> caf::result<atom::shutdown> {
      self->state.watch.reset();
      self->quit();
      return atom::shutdown::value;
    },
  };
}

} // namespace gantry::actors
