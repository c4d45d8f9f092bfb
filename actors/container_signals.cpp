#include <csignal>

#include "actors/container.hpp"
#include "io/log.hpp"

// Kill and stop: every signal goes through a pidfd or the cgroup, and is an event.

namespace gantry::actors {

namespace {
using phase_t = runtime::process_view::phase_t;
} // namespace

uint64_t container_state::record_kill(const std::string& process_id, int sig, bool all,
                                      const v1::By* by, const std::string& request_id,
                                      uint64_t cause, bool final,
                                      const std::string& reason) {
  auto r = by != nullptr ? record(*by, request_id) : record();
  r.set_process(process_id);
  r.set_cause(cause);
  if (auto at = processes_.find(process_id); at != processes_.end())
    r.set_pid(at->second.key.pid);
  if (sig == SIGKILL && oom_ && reason != "oom") // Else the kernel's kill is what it is about.
    oom_->spare(all ? std::string{} : process_id);
  r.mutable_killed()->set_signal(sig);
  r.mutable_killed()->set_all(all);
  r.mutable_killed()->set_final(final);
  r.mutable_killed()->set_reason(reason);
  return host->ledger.record(r);
}

/// As with a stop: whoever sends this wants it to end, and no restart.
bool container_state::ends_for_good(int sig) const {
  if (sig == SIGKILL)
    return true;
  v1::ContainerSpec spec;
  spec.ParseFromString(view()->spec);
  const auto stop = runtime::parse_signal(spec.stop_signal().empty() ? "TERM" : spec.stop_signal());
  return stop && *stop == sig;
}

result<void> container_state::signal_process(const process_entry& p, int sig) {
  auto& sys = host->loop.sys();
  io::fd own;
  auto pidfd = host->reaper.pidfd_of(p.key);
  if (pidfd < 0 && p.key.pid > 0 && !p.ended) { // Its actor may not have begun to watch yet.
    own = io::fd{sys, sys.pidfd_open(p.key.pid)};
    if (own && sys.start_ticks(p.key.pid) == int64_t(p.key.start_ticks))
      pidfd = own.get();
  }
  if (pidfd < 0)
    return error{ec::wrong_state, "the process has ended already", {}};
  const auto rc = sys.pidfd_signal(pidfd, sig);
  if (rc == -ESRCH)
    return error{ec::wrong_state, "the process has ended already", {}};
  if (rc < 0)
    return from_errno(-rc, "send " + runtime::signal_name(sig) + " to", "the process");
  // Frozen by the v1 freezer, a SIGKILL stays pending until the thaw.
  if (sig == SIGKILL && at_ == phase::paused && host->cgroups.mode != runtime::cgroup_mode::v2)
    thaw_for_end(nullptr, 0);
  return {};
}

void container_state::kill_everything(const v1::By& by, uint64_t cause) {
  record_kill(init, SIGKILL, true, &by, {}, cause);
  if (auto killed = group().kill_all(); !killed)
    io::log_warn("container={}: {}", who.id, killed.why().text());
  // Init may not be in its cgroup yet, or not any more: it is told by its pidfd as well.
  (void)signal_process(processes_[init], SIGKILL);
}

void container_state::thaw_for_end(const v1::By* by, uint64_t cause) {
  if (auto thawed = group().thaw(); !thawed)
    io::log_warn("container={}: {}", who.id, thawed.why().text());
  auto r = by != nullptr ? record(*by, {}) : record();
  r.set_cause(cause);
  r.mutable_resumed();
  host->ledger.record(r);
  if (at_ == phase::paused)
    enter(phase::running);
}

/// A program that waits for its start does not run yet: what stands in for it hears nothing else.
int container_state::heard_as(int sig, bool final) const {
  return final && at_ == phase::waiting ? SIGKILL : sig;
}

caf::result<v1::KillReply> container_state::kill(const v1::By& by, const v1::KillRequest& req) {
  auto asked = runtime::parse_signal(req.signal().empty() ? "KILL" : req.signal());
  if (!asked)
    return to_caf(asked.why()); // A promise that has delivered must not be returned.
  const auto* target =
    view() != nullptr ? view()->process(req.process().empty() ? init : req.process()) : nullptr;
  if (target != nullptr && !req.request_id().empty()
      && target->kill_request == req.request_id())
    return kill_again(req, *target, *asked);
  auto promise = self->make_response_promise<v1::KillReply>();
  attempt<v1::KillReply>(
    event::kill, promise, [this, by, req, promise, asked = *asked](const rule&) {
      auto answer = promise;
      const auto id = req.process().empty() ? init : req.process();
      const bool final = (id == init || req.all()) && ends_for_good(asked);
      const int sig = heard_as(asked, final);
      const auto at = processes_.find(id);
      const auto* known = view() != nullptr ? view()->process(id) : nullptr;
      const bool over = at == processes_.end() ? known != nullptr : at->second.ended;
      if (req.tree() && id != init && known != nullptr && known->phase > phase_t::adding) {
        kill_exec_tree(by, req, *known, sig, promise);
        return;
      }
      if (!over && (at == processes_.end() || !at->second.made)) {
        answer.deliver(to_caf({ec::not_found,
                               "container \"" + who.id + "\" has no living process \"" + id + "\"",
                               "gantry inspect " + who.id + " lists them"}));
        return;
      }
      if (over && !req.all()) {
        answer.deliver(to_caf(
          {ec::wrong_state, "process \"" + id + "\" of \"" + who.id + "\" has ended already", {}}));
        return;
      }
      v1::KillReply reply;
      reply.set_seq(record_kill(id, sig, req.all(), &by, req.request_id(), 0, final));
      if (final)
        wait_.reset();
      const auto sent = req.all() ? group().signal(sig) : signal_process(at->second, sig);
      if (sent) {
        host->finish_request(req.request_id(), "Kill", reply);
        answer.deliver(reply);
      } else {
        answer.deliver(to_caf({sent.why().code, "container \"" + who.id + "\", process \"" + id
                                                  + "\": " + sent.why().message,
                               sent.why().cure}));
      }
    });
  return promise;
}

/// The records have it and no answer: an earlier life of ours was killed in between. Whoever is
/// left gets the signal, which may be the second one; who has ended has had it.
caf::result<v1::KillReply> container_state::kill_again(const v1::KillRequest& req,
                                                       const runtime::process_view& p, int asked) {
  v1::KillReply reply;
  reply.set_seq(p.kill_seq);
  const bool final = (p.id == init || req.all()) && ends_for_good(asked);
  const int sig = heard_as(asked, final);
  if (final)
    wait_.reset();
  if (sig == SIGKILL && oom_ && p.phase < phase_t::exited)
    oom_->spare(req.all() ? std::string{} : p.id);
  const auto at = processes_.find(p.id);
  const bool here = at != processes_.end() && at->second.made && !at->second.ended;
  result<void> sent;
  if (req.all())
    sent = group().signal(sig);
  else if (req.tree() && p.id != init)
    sent = exec_group(p.serial).signal(sig);
  else if (here)
    sent = signal_process(at->second, sig);
  if (!sent && sent.why().code != ec::wrong_state)
    return to_caf(sent.why());
  host->finish_request(req.request_id(), "Kill", reply);
  return reply;
}

void container_state::kill_exec_tree(const v1::By& by, const v1::KillRequest& req,
                                     const runtime::process_view& p, int sig,
                                     pending<v1::KillReply> answer) {
  if (exec_group(p.serial).pids().empty()) { // Those that it started may outlive it.
    answer.deliver(to_caf({ec::wrong_state,
                           "process \"" + p.id + "\" of \"" + who.id
                             + "\" has ended already, with all that it started", {}}));
    return;
  }
  auto r = record_of(p.id, by, req.request_id());
  r.set_pid(p.pid);
  r.mutable_killed()->set_signal(sig);
  r.mutable_killed()->set_tree(true);
  if (sig == SIGKILL && oom_ && p.phase < phase_t::died)
    oom_->spare(p.id);
  v1::KillReply reply;
  const auto serial = p.serial; // The record changes what `p` is of.
  reply.set_seq(host->ledger.record(r));
  if (auto sent = exec_group(serial).signal(sig); !sent) {
    answer.deliver(to_caf(sent.why()));
    return;
  }
  if (sig == SIGKILL && at_ == phase::paused && host->cgroups.mode != runtime::cgroup_mode::v2)
    thaw_for_end(nullptr, 0);
  host->finish_request(req.request_id(), "Kill", reply);
  answer.deliver(reply);
}

caf::result<v1::StopReply> container_state::stop(const v1::By& by, const v1::StopRequest& req) {
  if (!req.signal().empty())
    if (auto sig = runtime::parse_signal(req.signal()); !sig)
      return to_caf(sig.why());
  auto promise = self->make_response_promise<v1::StopReply>();
  attempt<v1::StopReply>(event::stop, promise, [this, by, req, promise](const rule& r) {
    if (r.what == verdict::done) {
      v1::StopReply reply;
      if (auto x = host->ledger.now().exit_of(who, instance_, init))
        *reply.mutable_exit() = x->exit;
      pending<v1::StopReply>{promise}.deliver(reply);
      return;
    }
    if (over())
      return cancel_restart(by, req, promise);
    stops_.push_back(promise);
    if (at_ != phase::stopping) {
      begin_stop(by, req);
      return;
    }
    join_stop(by, req);
  });
  return promise;
}

/// One that is under way already, perhaps not for a person: from now on it is.
void container_state::join_stop(const v1::By& by, const v1::StopRequest& req) {
  if (!host->ending) {
    auto r = record(by, {});
    r.set_cause(stop_seq_);
    r.mutable_stopping()->set_signal(view()->stop_signal);
    r.mutable_stopping()->set_timeout_ns(view()->stop_timeout_ns);
    host->ledger.record(r);
  }
  if (req.has_timeout_ns())
    arm_grace(io::nanoseconds{req.timeout_ns()}); // The later word counts.
}

void container_state::begin_stop(const v1::By& by, const v1::StopRequest& req,
                                 const stop_reason& why) {
  v1::ContainerSpec spec;
  spec.ParseFromString(view()->spec);
  auto text = req.signal().empty() ? spec.stop_signal() : req.signal();
  auto parsed = runtime::parse_signal(text.empty() ? "TERM" : text);
  const bool waited = at_ == phase::waiting; // Its program does not run yet, and hears nothing.
  const int sig = waited ? SIGKILL : parsed ? *parsed : SIGTERM;
  auto grace = spec.stop_timeout_ns() > 0 ? io::nanoseconds{spec.stop_timeout_ns()}
                                          : host->options.stop_timeout;
  if (req.has_timeout_ns())
    grace = io::nanoseconds{req.timeout_ns()};
  if (at_ == phase::paused)
    thaw_for_end(&by, 0); // A frozen process cannot hear the signal.
  auto r = record(by, req.request_id());
  r.mutable_stopping()->set_signal(sig);
  r.mutable_stopping()->set_timeout_ns(grace.count());
  r.set_cause(why.cause);
  r.mutable_stopping()->set_reason(host->ending ? "shutdown" : why.reason);
  r.mutable_stopping()->set_final(why.final);
  {
    const auto both = host->ledger.together();
    stop_seq_ = host->ledger.record(r);
    refuse_start(std::exchange(making_, nullptr), refusal("it was stopped before it was started"));
  }
  stop_request_ = req.request_id();
  stop_by_ = by;
  enter(phase::stopping);
  if (why.cause != 0) // What a client can see of it: its signals name that as their cause.
    stop_seq_ = why.cause;
  record_kill(init, sig, false, &by, {}, stop_seq_, false, why.reason);
  if (auto sent = signal_process(processes_[init], sig);
      !sent && sent.why().code != ec::wrong_state)
    io::log_warn("container={}: {}", who.id, sent.why().text());
  arm_grace(grace);
}

void container_state::arm_grace(io::nanoseconds after) {
  begin_notify_grace(after);
  extend_grace(after);
}

void container_state::extend_grace(io::nanoseconds after) {
  ++stop_number_;
  arm_stop(std::max(after, io::nanoseconds{0}), atom::grace::value);
}

void container_state::arm_stuck() {
  arm_stop(host->options.kill_patience, atom::stuck::value);
}

template <class Atom>
void container_state::arm_stop(io::nanoseconds after, Atom what) {
  // A timer, not a delayed message: that would hold this actor when gantryd goes away.
  stop_timer_ = std::make_unique<io::timer>(host->loop);
  stop_timer_->start(after, while_here([this, what, number = stop_number_] {
                       caf::anon_send(container_actor{self}, what, number);
                     }));
}

void container_state::on_grace(uint64_t stop_number) {
  if (stop_number != stop_number_ || at_ != phase::stopping)
    return;
  killed_at_ = host->loop.now();
  begin_notify_grace(io::nanoseconds{0}); // Nothing puts it off any more.
  kill_everything(stop_by_, stop_seq_);
  arm_stuck();
}

void container_state::on_stuck(uint64_t stop_number) {
  if (stop_number != stop_number_ || (at_ != phase::stopping && at_ != phase::deleting))
    return;
  const auto alive = std::find_if(processes_.begin(), processes_.end(), [](const auto& x) {
    return x.second.made && !x.second.ended;
  });
  if (alive == processes_.end())
    return; // A removal that takes its time for another reason.
  const auto& key = alive->second.key;
  const auto seconds =
    std::chrono::duration_cast<std::chrono::seconds>(host->loop.now() - killed_at_).count();
  std::string stat;
  host->loop.sys().read_small("/proc/" + std::to_string(key.pid) + "/stat", stat);
  const auto paren = stat.rfind(')');
  const auto state = paren != std::string::npos && paren + 2 < stat.size()
                       ? stat.substr(paren + 2, 1) : std::string{"?"};
  const auto text = "SIGKILL has not ended pid " + std::to_string(key.pid) + " (state " + state
                    + ") in " + std::to_string(seconds) + " s";
  host->stuck[who] = text;
  const error why{ec::deadline_exceeded, "container \"" + who.id + "\": " + text,
                  "state D waits for a device or a file server: look at its disk and mounts"};
  host->fail_request(stop_request_, "Stop", why);
  for (auto& p : std::exchange(stops_, {}))
    p.deliver(to_caf(why));
  if (!removing_)
    return;
  host->fail_request(removing_->request_id, "Remove", why);
  for (auto& p : std::exchange(removing_->waiters, {}))
    p.deliver(to_caf(why));
}

void container_state::answer_stops(const v1::Exit& x) {
  stop_timer_.reset();
  v1::StopReply reply;
  *reply.mutable_exit() = x;
  host->finish_request(std::exchange(stop_request_, {}), "Stop", reply);
  for (auto& p : std::exchange(stops_, {}))
    p.deliver(reply);
}

} // namespace gantry::actors
