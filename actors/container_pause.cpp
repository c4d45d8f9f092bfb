#include "actors/container.hpp"
#include "io/log.hpp"

// Pause and resume.

namespace gantry::actors {

namespace {
constexpr auto freeze_patience = std::chrono::seconds(10);
constexpr unsigned thaw_between = 50; ///< Looks.
constexpr auto freeze_look = std::chrono::milliseconds(1);
} // namespace

caf::result<v1::PauseReply> container_state::pause(const v1::By& by, const v1::PauseRequest& req) {
  auto promise = self->make_response_promise<v1::PauseReply>();
  try_pause(by, req, promise);
  return promise;
}

void container_state::try_pause(const v1::By& by, const v1::PauseRequest& req,
                                pending<v1::PauseReply> promise) {
  attempt<v1::PauseReply>(event::pause, promise, [this, by, req, promise](const rule& r) {
    if (r.what == verdict::done) {
      pending<v1::PauseReply>{promise}.deliver(v1::PauseReply{});
      return;
    }
    if (execs_making_ > 0) {
      // A runtime command inside a frozen cgroup would hang: the pause waits for it.
      // Execs that come now wait behind it, or it would wait for ever.
      ++pauses_waiting_;
      waiting_.push_back([this, by, req, promise] {
        --pauses_waiting_;
        try_pause(by, req, promise);
      });
      return;
    }
    begin_pause(by, req, promise);
  });
}

void container_state::begin_pause(const v1::By& by, const v1::PauseRequest& req,
                                  std::optional<pending<v1::PauseReply>> p, uint64_t cause) {
  auto intent = record(by, req.request_id());
  intent.set_cause(cause);
  intent.mutable_pausing();
  pause_seq_ = host->ledger.record(intent);
  if (cause != 0) // What a client can see of it.
    pause_seq_ = cause;
  pause_request_ = req.request_id();
  pause_by_ = by;
  pause_ = std::move(p);
  pause_deadline_ = host->loop.now() + freeze_patience;
  enter(phase::pausing);
  if (auto asked = group().freeze(); !asked) {
    fail_pause(asked.why());
    return;
  }
  on_frozen_tick();
}

void container_state::on_frozen_tick() {
  if (at_ != phase::pausing)
    return; // Overtaken by its end.
  auto g = group();
  if (g.frozen()) {
    auto r = record(pause_by_, pause_request_);
    r.set_cause(pause_seq_);
    r.mutable_paused();
    v1::PauseReply reply;
    {
      const auto both = host->ledger.together();
      reply.set_seq(host->ledger.record(r));
      host->finish_request(pause_request_, "Pause", reply);
    }
    if (auto p = std::exchange(pause_, std::nullopt))
      p->deliver(reply);
    enter(phase::paused);
    return;
  }
  if (host->loop.now() > pause_deadline_) {
    fail_pause({ec::deadline_exceeded,
                "container \"" + who.id + "\": pause: a process did not freeze in 10 s",
                "a process in state D cannot freeze: gantry top " + who.id});
    return;
  }
  // v1: FREEZING may stick; asking again helps, and where it does not, a thaw in between.
  if (++freeze_looks_ % thaw_between == 0)
    (void)g.thaw();
  if (auto again = g.freeze(); !again)
    io::log_debug("container={}: {}", who.id, again.why().text());
  self->delayed_send(self, freeze_look, atom::frozen::value);
}

void container_state::fail_pause(error why) {
  if (auto thawed = group().thaw(); !thawed)
    io::log_warn("container={}: {}", who.id, thawed.why().text());
  auto r = record();
  r.set_cause(pause_seq_);
  r.mutable_state_restored()->set_state(v1::RUNNING);
  r.mutable_state_restored()->set_reason(why.message);
  {
    const auto both = host->ledger.together();
    host->ledger.record(r);
    host->fail_request(pause_request_, "Pause", why);
  }
  if (auto p = std::exchange(pause_, std::nullopt))
    p->deliver(to_caf(why));
  enter(phase::running);
}

caf::result<v1::ResumeReply> container_state::resume(const v1::By& by,
                                                     const v1::ResumeRequest& req) {
  auto promise = self->make_response_promise<v1::ResumeReply>();
  attempt<v1::ResumeReply>(event::resume, promise, [this, by, req, promise](const rule& r) {
    auto answer = promise;
    auto intent = record(by, req.request_id());
    intent.mutable_resuming();
    const auto cause = host->ledger.record(intent);
    if (auto thawed = group().thaw(); !thawed) {
      auto back = record();
      back.set_cause(cause);
      back.mutable_state_restored()->set_state(v1::PAUSED);
      back.mutable_state_restored()->set_reason(thawed.why().message);
      host->ledger.record(back);
      answer.deliver(to_caf(thawed.why()));
      return;
    }
    auto done = record(by, req.request_id());
    done.set_cause(cause);
    done.mutable_resumed();
    v1::ResumeReply reply;
    {
      const auto both = host->ledger.together();
      reply.set_seq(host->ledger.record(done));
      host->finish_request(req.request_id(), "Resume", reply);
    }
    answer.deliver(reply);
    enter(r.next);
  });
  return promise;
}

} // namespace gantry::actors
