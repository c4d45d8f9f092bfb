#include "actors/container.hpp"
#include "runtime/bundle.hpp"
#include "runtime/health_messages.hpp"

// Update: limits of a living container through the runtime; policies of any, here.

namespace gantry::actors {

caf::result<v1::UpdateReply> container_state::update(const v1::By& by,
                                                     const v1::UpdateRequest& req) {
  if (auto checked = runtime::check_resources(req.resources()); !checked)
    return to_caf(checked.why());
  if (auto checked = check_new_policies(req); !checked)
    return to_caf(checked.why());
  const bool policies = req.has_restart() || req.has_health();
  if (policies && req.resources().ByteSizeLong() == 0) {
    v1::UpdateReply reply;
    reply.set_seq(record_update(by, req));
    return reply;
  }
  auto promise = self->make_response_promise<v1::UpdateReply>();
  attempt<v1::UpdateReply>(event::update, promise, [this, by, req, promise](const rule&) {
    auto answer = promise;
    if (updating_) {
      answer.deliver(to_caf({ec::wrong_state,
                             "container \"" + who.id + "\": another update is under way",
                             "try again when it is done"}));
      return;
    }
    updating_ = std::make_unique<updating>(updating{promise, by, req});
    host->engine.update(runtime_, runtime::runtime_id(who),
                        runtime::resources_json(req.resources()).dump(), host->next_op++,
                        [me = container_actor{self}](result<void> x) {
                          outcome out;
                          if (!x)
                            out.failed = x.why();
                          caf::anon_send(me, atom::updated::value, out);
                        });
  });
  return promise;
}

void container_state::on_updated(const outcome& x) {
  auto work = std::move(updating_);
  if (!work)
    return; // Its container was removed meanwhile, and it was told so.
  if (x.failed) {
    work->promise->deliver(to_caf(*x.failed));
    return;
  }
  v1::UpdateReply reply;
  reply.set_seq(record_update(work->by, work->request));
  work->promise->deliver(reply);
}

result<void> container_state::check_new_policies(const v1::UpdateRequest& req) const {
  const auto* v = view();
  if (v == nullptr || at_ == phase::deleting || at_ == phase::gone)
    return refusal("it is being removed");
  if (!req.has_restart() && !req.has_health())
    return {};
  v1::ContainerSpec spec;
  spec.ParseFromString(v->spec);
  if (req.has_restart())
    *spec.mutable_restart() = req.restart();
  if (req.has_health())
    *spec.mutable_health() = req.health();
  return runtime::check_policies(spec);
}

/// The new policies hold from here on; a restart that is scheduled stays so.
uint64_t container_state::record_update(const v1::By& by, const v1::UpdateRequest& req) {
  v1::ContainerSpec before;
  before.ParseFromString(view()->spec);
  auto r = record(by, req.request_id());
  auto* x = r.mutable_updated();
  if (req.resources().ByteSizeLong() > 0)
    *x->mutable_resources() = req.resources();
  if (req.has_restart()) {
    *x->mutable_restart() = req.restart();
    *x->mutable_restart_before() = before.restart();
  }
  if (req.has_health()) {
    *x->mutable_health() = req.health();
    *x->mutable_health_before() = before.health();
  }
  const auto seq = host->ledger.record(r);
  if (req.has_health())
    change_care();
  look_at_limits();
  return seq;
}

/// Its probes are others from now on. What is known of a role's probe is kept.
void container_state::change_care() {
  const bool up = at_ == phase::running || at_ == phase::pausing || at_ == phase::paused
                  || at_ == phase::checkpointing;
  if (health_)
    for (auto& [role, all] : std::exchange(health_->asked, {}))
      for (auto& p : all)
        p.deliver(to_caf(refusal("its probes were changed")));
  if (!view()->has_health) {
    if (health_)
      freeze_care("its health check was switched off");
    health_.reset();
    return;
  }
  if (!health_) {
    if (up)
      take_care();
    if (health_ && at_ != phase::running)
      freeze_care("it is paused");
    return;
  }
  v1::ContainerSpec spec;
  spec.ParseFromString(view()->spec);
  auto policy = runtime::health_policy_of(spec);
  GANTRY_CHECK(policy.ok()); // It was checked before it was recorded.
  drop_calls();
  runtime::change_health(health_->policy, *policy, health_->state,
                         host->loop.sys().realtime().count());
  health_->policy = std::move(*policy);
  arm_probes();
}

} // namespace gantry::actors
