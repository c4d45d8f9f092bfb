#include "actors/terminator.hpp"

#include "io/log.hpp"
#include "io/scheduler.hpp"

namespace gantry::actors {

namespace {
/// What a stop may take beyond its own grace and the patience after SIGKILL.
constexpr auto margin = std::chrono::seconds(10);

io::nanoseconds grace_of(const services& host, const runtime::container_view& c) {
  v1::ContainerSpec spec;
  spec.ParseFromString(c.spec);
  return spec.stop_timeout_ns() > 0 ? io::nanoseconds{spec.stop_timeout_ns()}
                                    : host.options.stop_timeout;
}
} // namespace

caf::result<atom::shutdown> terminator_state::shutdown(bool stop_containers) {
  promise_ = self->make_response_promise<atom::shutdown>();
  auto longest = host->options.stop_timeout;
  host->ending = stop_containers;
  if (stop_containers)
    for (const auto& [name, c] : host->ledger.now().all()) {
      if (c->state == v1::STOPPED || c->state == v1::RESTARTING || c->state == v1::DEAD)
        continue;
      v1::StopRequest req;
      req.mutable_ref()->set_namespace_(name.ns);
      req.mutable_ref()->set_id(name.id);
      longest = std::max(longest, grace_of(*host, *c));
      ++stopping_;
      self->request(supervisor, caf::infinite, v1::By{}, req)
        .then([this](const v1::StopReply&) { stopped_one(); },
              [this, id = name.id](caf::error& why) {
                io::log_warn("container={}: {}", id, from_caf(why).text());
                stopped_one();
              });
    }
  if (stopping_ == 0) {
    end_actors();
    return *promise_;
  }
  // A delayed message would hold this actor, and with it the end of the program.
  grace_ = std::make_unique<io::timer>(host->loop);
  grace_->start(longest + host->options.kill_patience + margin, [me = terminator_actor{self}] {
    caf::anon_send(me, atom::grace::value);
  });
  return *promise_;
}

void terminator_state::stopped_one() {
  if (--stopping_ == 0)
    end_actors();
}

void terminator_state::on_grace() {
  if (stopping_ > 0)
    io::log_error("{} containers did not stop in time and are left as they are", stopping_);
  end_actors();
}

void terminator_state::end_actors() {
  if (std::exchange(ending_, true))
    return;
  grace_.reset();
  self->request(supervisor, caf::infinite, atom::shutdown::value)
    .then(
      [this](atom::shutdown) {
        self->request(recorder, caf::infinite, atom::shutdown::value)
          .then([this](atom::shutdown) {
            promise_->deliver(atom::shutdown::value);
            self->quit();
          });
      });
}

terminator_actor::behavior_type
terminator(terminator_actor::stateful_pointer<terminator_state> self, services* host,
           supervisor_actor supervisor, recorder_actor recorder) {
  io::abort_on_surprise(*self);
  self->state.self = self;
  self->state.host = host;
  self->state.supervisor = std::move(supervisor);
  self->state.recorder = std::move(recorder);
  return {
    [self](atom::shutdown, bool stop_containers) { return self->state.shutdown(stop_containers); },
    [self](atom::grace) { self->state.on_grace(); },
  };
}

} // namespace gantry::actors
