#include "actors/container.hpp"
#include "io/log.hpp"
#include "runtime/pressure.hpp"

// A run that lacks something: thresholds that the kernel watches, and what its policy makes of it.

namespace gantry::actors {

/// What cannot be watched here is recorded with the reason, once a life: inspect tells it.
/// Costs an fd for each threshold, and nothing until one is crossed; then a record.
void container_state::watch_pressure() {
  v1::ContainerSpec spec;
  spec.ParseFromString(view()->spec);
  const auto wanted = runtime::pressure_of(spec);
  if (!wanted || wanted->empty())
    return;
  auto told = record();
  auto policy = while_here([this](uint64_t seq) { on_pressure(seq); });
  for (uint32_t i = 0; i < wanted->size(); ++i) {
    auto crossing = record();
    crossing.mutable_pressure()->set_index(i);
    crossing.mutable_pressure()->set_threshold(runtime::text_of((*wanted)[i]));
    v1::PressureState known; // What was crossed while nobody watched is told now.
    if (i < view()->pressure.size())
      known.ParseFromString(view()->pressure[i]);
    const auto started = cgroup_watch_->watch_pressure(
      host->cgroup_path(who), (*wanted)[i], known.count(),
      [at = host, crossing, policy](const runtime::pressure_sample& now) mutable {
        auto r = crossing;
        r.mutable_pressure()->set_total_us(now.total_us);
        r.mutable_pressure()->set_avg10(now.avg10);
        r.mutable_pressure()->set_count(now.count);
        policy(at->ledger.record(r));
      });
    told.mutable_pressure_watched()->add_unsupported(started ? std::string{}
                                                             : started.why().text());
    if (!started)
      io::log_warn("container={}: {} is not watched: {}", who.id,
                   crossing.pressure().threshold(), started.why().text());
  }
  host->ledger.record(told);
}

/// @param seq Of the record that a threshold was crossed.
void container_state::on_pressure(uint64_t seq) {
  if (at_ != phase::running || view() == nullptr || processes_[init].ended || capturing_)
    return;
  v1::ContainerSpec spec;
  spec.ParseFromString(view()->spec);
  const auto& policy = spec.pressure_policy();
  if (policy != "restart" && policy != "stop")
    return;
  capture("pressure", seq, [this, final = policy == "stop"](uint64_t cause, uint64_t) {
    happen(event::stop, [this, cause, final] {
      if (at_ == phase::running)
        begin_stop({}, {}, {.reason = "pressure", .final = final, .cause = cause});
    });
  });
}

} // namespace gantry::actors
