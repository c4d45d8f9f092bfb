#include <algorithm>

#include "actors/container.hpp"
#include "io/log.hpp"
#include "io/log_reader.hpp"
#include "runtime/health_messages.hpp"
#include "runtime/probe_output.hpp"

// The health of a run: probes at their times, each a process in the container with a cgroup of
// its own; what they say is recorded before anybody hears of it.

namespace gantry::actors {

namespace {

// A probe may write as much as it likes: so much a second is looked at, the rest is dropped.
constexpr uint64_t output_rate = 64u << 10;
constexpr size_t read_bytes = 128u << 10;

using label = runtime::probe_result::label;

/// Probes that are due at nearly the same time begin in one turn. 1,000 containers asked once a
/// second: 0.8 turns of the loop for each question by http, 3.9 without (0.45 and 2.0 by tcp).
constexpr int64_t meeting_share = 100;
constexpr int64_t longest_meeting_ns = 10'000'000;

/// The next time at which probes of such an interval begin. Never before they are due.
int64_t meeting_time(int64_t due_ns, int64_t interval_ns) {
  const auto step = std::clamp<int64_t>(interval_ns / meeting_share, 1, longest_meeting_ns);
  return due_ns < INT64_MAX - step ? (due_ns + step - 1) / step * step : due_ns;
}

v1::ExecRequest request_of(const runtime::probe& p) {
  v1::ExecRequest out;
  out.set_process(runtime::probe_process(p.role));
  auto* spec = out.mutable_spec();
  if (p.question.shell)
    for (const char* word : {"/bin/sh", "-c"})
      spec->add_args(word);
  for (const auto& word : p.question.args)
    spec->add_args(word);
  spec->set_timeout_ns(p.timeout_ns);
  spec->mutable_log()->set_when_full("drop-newest");
  spec->mutable_log()->set_rate_bytes(output_rate);
  return out;
}

/// Exit codes of a shell for what could not be run at all.
int code_for(const error& why) {
  return why.code == ec::command_not_found ? 127 : why.code == ec::not_executable ? 126 : -1;
}

} // namespace

/// One piece after the other, until there is enough, or no more.
struct probe_reading {
  probe_reading(io::loop& l, std::string dir, size_t most)
    : reader(l, std::move(dir), io::log_place{}), text(most), most_bytes(most) {}

  void read(const std::weak_ptr<probe_reading>& me) {
    reader.next(read_bytes, [me](result<io::log_reader::batch> b) {
      const auto self = me.lock();
      if (!self)
        return;
      if (b)
        for (const auto& piece : b->pieces)
          self->text.feed(piece.bytes);
      if (!b || (b->at_end && b->pieces.empty()) || self->text.total_bytes() > self->most_bytes)
        self->done(self->text.text());
      else
        self->read(me);
    });
  }

  io::log_reader reader;
  runtime::probe_output text;
  size_t most_bytes;
  std::function<void(std::string)> done;
};

/// A phase has begun: probes run while it runs, keep still while it is kept still, and are over
/// with the run.
void container_state::follow_phase(phase before) {
  const auto* v = view();
  if (v == nullptr || !v->has_health || at_ == before)
    return;
  if (at_ == phase::running && health_) {
    runtime::thaw_health(health_->policy, health_->state, host->loop.sys().realtime().count());
    arm_probes();
    host->loop.post(while_here([this] { resume_ladder(); }));
  } else if (at_ == phase::running) {
    take_care();
  } else if (at_ == phase::pausing || at_ == phase::paused || at_ == phase::checkpointing) {
    if (health_)
      freeze_care("it is paused");
  } else if (health_) {
    freeze_care("it is ending");
    health_.reset();
  }
}

/// Begins to ask; where an earlier life was.
void container_state::take_care() {
  const auto* v = view();
  v1::ContainerSpec spec;
  spec.ParseFromString(v->spec);
  auto policy = runtime::health_policy_of(spec);
  if (!policy) { // A later version's: it was checked when the container was made.
    io::log_warn("container={}: it is not probed: {}", who.id, policy.why().text());
    return;
  }
  health_ = std::make_unique<caring>();
  health_->policy = std::move(*policy);
  health_->state = runtime::health_state_of(*v, health_->policy);
  look_at_limits();
  runtime::spread_health(health_->policy, health_->state, v->instance + v->run,
                         host->options.probe_jitter);
  arm_probes();
}

void container_state::adopt_health() {
  if (!view()->has_health)
    return;
  adopt_hooks();
  if (at_ == phase::running || at_ == phase::pausing || at_ == phase::paused
      || at_ == phase::checkpointing)
    take_care();
  if (health_ && at_ != phase::running)
    freeze_care("it is paused");
  sweep_evidence();
  host->loop.post(while_here([this] { resume_ladder(); }));
  std::vector<std::pair<std::string, uint64_t>> ended;
  for (const auto& p : view()->processes)
    if (runtime::is_probe_process(p.id) && p.exit)
      ended.emplace_back(p.id, p.serial);
  for (const auto& [process, serial] : ended)
    read_probe(process, serial); // Its end was told, its result was not.
}

void container_state::freeze_care(std::string_view why) {
  runtime::freeze_health(health_->state);
  health_->timer.reset();
  drop_calls();
  for (auto& [role, all] : std::exchange(health_->asked, {}))
    for (auto& p : all)
      p.deliver(to_caf(refusal(why)));
}

void container_state::arm_probes() {
  const auto next = runtime::next_probe(health_->policy, health_->state);
  health_->timer.reset();
  if (!next)
    return;
  // By the clock on the wall; one that was set back makes no pause longer than the longest.
  int64_t longest = 0;
  int64_t shortest = INT64_MAX;
  for (const auto& p : health_->policy.probes) {
    longest = std::max({longest, p.interval_ns, p.initial_delay_ns});
    shortest = std::min(shortest, p.interval_ns);
    if (p.start_interval_ns > 0)
      shortest = std::min(shortest, p.start_interval_ns);
  }
  const auto begin = meeting_time(*next, shortest);
  const auto left = begin - host->loop.sys().realtime().count();
  health_->timer = std::make_unique<io::timer>(host->loop);
  health_->timer->start(io::nanoseconds{std::clamp<int64_t>(left, 0, longest + begin - *next)},
                        while_here([this, due = begin] {
                          health_->due_ns = due;
                          caf::anon_send(container_actor{self}, atom::probe::value);
                        }));
}

void container_state::on_probe() {
  hear_notices();
  take_answers();
  take_turns();
  if (!health_ || at_ != phase::running)
    return;
  const auto clock = host->loop.sys().realtime().count();
  auto now = std::max(clock, std::exchange(health_->due_ns, 0));
  while (const auto which = runtime::take_due_probe(health_->policy, health_->state, now)) {
    health_->state.probes[*which].began_ns = clock; // Whatever it was due by.
    begin_probe(*which);
    now = clock; // What could not be asked is due again soon, but not within this turn.
  }
  arm_probes();
}

void container_state::begin_probe(size_t which) {
  if (health_->limited)
    health_->throttled[which] = group().throttled_ns();
  if (health_->policy.probes[which].question.kind != runtime::probe_kind::exec)
    return call_probe(which);
  if (host->exec_probes.limited())
    return await_turn(which);
  begin_exec_probe(which);
}

void container_state::begin_exec_probe(size_t which) {
  const auto req = request_of(health_->policy.probes[which]);
  const auto* v = view();
  const bool busy = pauses_waiting_ > 0 || processes_.contains(req.process())
                    || v->process(req.process()) != nullptr;
  auto room = host->room_for_process(who);
  if (!busy && room) {
    make_exec(req.process(), host->ledger.now().take_serial(), {}, req, std::nullopt);
    return;
  }
  if (!room)
    io::log_warn("container={}: a probe is left out: {}", who.id, room.why().message);
  drop_probe(which, room ? refusal("its last probe has not gone yet, or it is being paused")
                         : room.why());
}

/// It could not be asked: nothing is said of its health.
void container_state::drop_probe(size_t which, const error& why) {
  health_->turns.erase(which);
  const auto now = host->loop.sys().realtime().count();
  runtime::drop_probe(health_->policy, health_->state, which, now);
  answer_asked(which, [&why](pending<v1::RunProbeReply>& p) { p.deliver(to_caf(why)); });
}

void container_state::answer_asked(size_t which,
                                   const std::function<void(pending<v1::RunProbeReply>&)>& f) {
  auto all = std::exchange(health_->asked[which], {});
  for (auto& p : all)
    f(p);
}

std::optional<size_t> container_state::probe_named(std::string_view process) const {
  if (health_)
    for (size_t i = 0; i < health_->policy.probes.size(); ++i)
      if (runtime::probe_process(health_->policy.probes[i].role) == process)
        return i;
  return {};
}

/// The runtime could not make it.
void container_state::probe_failed(const std::string& process, const error& why) {
  const auto which = probe_named(process);
  if (!which || !health_->state.probes[*which].runs)
    return;
  if (why.code != ec::command_not_found && why.code != ec::not_executable
      && why.code != ec::runtime_failed && why.code != ec::deadline_exceeded) {
    drop_probe(*which, why); // For want of something of ours.
    arm_probes();
    return;
  }
  runtime::probe_result r;
  r.exit_code = code_for(why);
  r.began_ns = r.ended_ns = host->loop.sys().realtime().count();
  r.output = why.message;
  take_result(*which, std::move(r), 0);
}

/// It has ended; what it started ends with it.
void container_state::probe_exited(const std::string& process, process_entry& entry) {
  if (auto group = exec_group(entry.serial); !group.pids().empty())
    (void)group.kill_all();
  read_probe(process, entry.serial);
}

/// Reads the beginning of what it wrote; `probed` goes on.
void container_state::read_probe(const std::string& process, uint64_t serial) {
  auto work = std::make_shared<probe_reading>(host->loop, host->log_dir(serial),
                                              health_ ? health_->policy.output_bytes : 0);
  work->done = [me = container_actor{self}, process](std::string text) {
    caf::anon_send(me, atom::probed::value, process, std::move(text));
  };
  probe_reads_[process] = work; // It is read as long as we are here.
  work->read(work);
}

void container_state::on_probed(const std::string& process, const std::string& output) {
  probe_reads_.erase(process);
  const auto* p = view() != nullptr ? view()->process(process) : nullptr;
  if (p == nullptr || !p->exit)
    return;
  runtime::probe_result r;
  const auto& x = *p->exit;
  r.what = x.ended_by() == "timeout" ? label::timeout
           : x.has_exit_code() && x.exit_code() == 0 ? label::passed
                                                     : label::failed;
  r.exit_code = x.has_exit_code() ? x.exit_code() : -1;
  r.ended_ns = x.exited_at_ns();
  r.cpu_ns = int64_t(x.cpu_ns());
  r.output = output;
  const auto cause = x.seq();
  const auto serial = p->serial;
  const auto which = probe_named(process);
  // From when it was begun, as Docker counts; of an earlier life's, from when it was known to run.
  const auto began = which ? health_->state.probes[*which].began_ns : 0;
  r.began_ns = std::min(began > 0 ? began : p->started_at_ns, r.ended_ns);
  if (which && health_->state.probes[*which].runs)
    take_result(*which, std::move(r), cause);
  auto gone = record_of(process, {}, {});
  gone.mutable_process_forgotten();
  host->ledger.record(gone);
  const auto at = processes_.find(process);
  if (at != processes_.end() && at->second.actor) {
    at->second.discard = true; // Its log goes once the pump is at rest.
    self->send(at->second.actor, atom::release::value);
    return;
  }
  if (at != processes_.end())
    processes_.erase(at);
  remove_logs(*host, serial, [] {});
}

void container_state::take_result(size_t which, runtime::probe_result r, uint64_t cause) {
  auto& h = *health_;
  h.turns.erase(which);
  if (r.what == label::timeout)
    r.output.insert(0, "it took longer than "
                         + std::to_string(h.policy.probes[which].timeout_ns / 1'000'000) + " ms: ");
  if (const auto before = h.throttled.find(which); before != h.throttled.end()) {
    const auto now = group().throttled_ns();
    if (runtime::is_throttled(r, now - std::min(now, before->second)))
      r.what = label::throttled;
    h.throttled.erase(before);
  }
  const auto from = h.state.status;
  const bool was_ready = h.state.ready;
  runtime::end_probe(h.policy, h.state, which, std::move(r));
  auto rec = record();
  rec.set_cause(cause);
  *rec.mutable_probe_ended() = runtime::probe_ended(h.policy, h.state, which, from, was_ready);
  const auto seq = host->ledger.record(rec);
  v1::RunProbeReply reply;
  *reply.mutable_health() = runtime::health_message(h.policy, h.state);
  *reply.mutable_result() = rec.probe_ended().result();
  answer_asked(which, [&reply](pending<v1::RunProbeReply>& p) { p.deliver(reply); });
  arm_probes();
  act_on_illness(seq);
}

caf::result<v1::RunProbeReply> container_state::run_probe(const v1::By&,
                                                          const v1::RunProbeRequest& req) {
  if (view() == nullptr || !view()->has_health)
    return to_caf(refusal("it has no health check"));
  if (!health_ || health_->state.frozen)
    return to_caf(refusal(at_ == phase::paused ? "it is paused: resume it first"
                                               : "it does not run: start it first"));
  auto which = probe_named(req.role().empty() ? std::string{} : "@" + req.role());
  const auto own = runtime::notify_probe(health_->policy);
  if (req.role().empty() && health_->policy.probes.size() <= (own ? 2u : 1u))
    which = 0; // What it says itself stands behind what can be asked.
  if (!which)
    return to_caf({ec::not_found,
                   "container \"" + who.id + "\" has no probe \"" + req.role() + "\"",
                   "gantry health " + who.id + " shows them"});
  if (which == own)
    return to_caf(refusal("it is not asked whether it works: it says so at its notify socket"));
  const auto now = host->loop.sys().realtime().count();
  if (!health_->state.probes[*which].runs
      && !runtime::hurry_probe(health_->policy, health_->state, *which, now))
    return to_caf(refusal("this probe waits for the startup probe, or has done its work"));
  auto promise = self->make_response_promise<v1::RunProbeReply>();
  health_->asked[*which].push_back(promise);
  on_probe();
  return promise;
}

} // namespace gantry::actors
