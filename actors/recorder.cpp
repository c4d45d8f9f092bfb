#include "actors/recorder.hpp"

#include <algorithm>

#include "actors/evidence.hpp"
#include "actors/stdio.hpp"
#include "io/scheduler.hpp"

namespace gantry::actors {

namespace {
/// The clock may be set meanwhile.
constexpr io::nanoseconds longest_sleep = std::chrono::hours(1);
} // namespace

void recorder_state::sweep(const recorder_actor& self) {
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
  auto next = host->ledger.now().next_expiry();
  if (const auto old = remove_old_evidence(*host); old)
    next = std::min(next.value_or(*old), *old);
  if (!next) {
    expiry->cancel();
    return;
  }
  const auto left = std::clamp<int64_t>(*next - now, 0, longest_sleep.count());
  expiry->start(io::nanoseconds{left} + std::chrono::milliseconds(1),
                [self] { caf::anon_send(self, atom::sweep::value); });
}

recorder_actor::behavior_type recorder(recorder_actor::stateful_pointer<recorder_state> self,
                                       services* host) {
  io::abort_on_surprise(*self);
  self->state.host = host;
  self->state.expiry = std::make_unique<io::timer>(host->loop);
  // Only an end can push something over a bound, or the age of what has ended or was taken: no
  // wake-up while nothing is remembered.
  self->state.watch = host->ledger.on_record([self](const journal::Record& r) {
    const bool ages = r.has_exited() || r.has_output_closed() || r.has_evidence_taken();
    if (!ages || self->state.sweep_due)
      return;
    self->state.sweep_due = true;
    caf::anon_send(recorder_actor{self}, atom::sweep::value);
  });
  caf::anon_send(recorder_actor{self}, atom::sweep::value); // What grew old meanwhile.
  return {
    [self](atom::sweep) { self->state.sweep(recorder_actor{self}); },
    [self](atom::shutdown) -> caf::result<atom::shutdown> {
      self->state.watch.reset();
      self->state.expiry.reset();
      self->quit();
      return atom::shutdown::value;
    },
  };
}

} // namespace gantry::actors
