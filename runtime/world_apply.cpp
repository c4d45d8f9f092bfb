#include <algorithm>

#include "runtime/world_impl.hpp"

namespace gantry::runtime {

namespace {

using journal::Record;
using phase = process_view::phase_t;

/// States in which nothing is under way.
bool is_resting(v1::State s) noexcept {
  return s == v1::CREATED || s == v1::RUNNING || s == v1::PAUSED || s == v1::STOPPED ||
         s == v1::RESTARTING || s == v1::DEAD || s == v1::UNKNOWN;
}

/// States that a later fact about starting or pausing does not overrule.
bool is_ending(v1::State s) noexcept { return s == v1::STOPPING || s == v1::DELETING; }

void set_pid(process_view& p, const Record& r, uint64_t start_ticks) {
  if (r.pid() != 0)
    p.pid = r.pid();
  if (start_ticks != 0)
    p.start_ticks = start_ticks;
}

void set_size(process_view& p, const v1::TerminalSize& size) {
  p.width = uint16_t(size.width());
  p.height = uint16_t(size.height());
}

void follow_flag(container_view& c, v1::State s) {
  if (s == v1::PAUSED)
    c.paused = true;
  else if (s == v1::RUNNING || s == v1::STOPPED || s == v1::CREATED)
    c.paused = false;
}

void created(container_view& c, const Record& r) {
  c.command.assign(r.created().command().begin(), r.created().command().end());
  if (c.state == v1::CREATING)
    c.state = v1::CREATED;
  if (auto* p = find_process(c, {}); p != nullptr && p->phase == phase::adding) {
    set_pid(*p, r, r.created().start_ticks());
    p->phase = phase::created;
    p->op = 0;
  }
}

void blame(container_view& c, uint64_t seq) {
  for (auto& p : c.processes)
    if (p.phase < phase::died)
      p.cause = seq;
}

} // namespace

void world::apply(const Record& r) {
  auto& w = *impl_;
  w.prune(r.time_ns());
  if (r.body_case() == Record::kAnswered)
    return w.remember_answer(r.request_id(), r.answered());
  if (r.container().empty())
    return;
  if (r.body_case() == Record::kCreating)
    return w.create(r);
  container_name name{r.namespace_(), r.container()};
  auto i = w.containers.find(name);
  if (i == w.containers.end() || (r.instance() != 0 && r.instance() != i->second->instance))
    return; // Of an instance that is gone: nothing is true about it any more.
  if (r.body_case() == Record::kDeleted || r.body_case() == Record::kCreateFailed)
    return w.remove(name, r.time_ns());
  w.about_to_change(*i->second);
  w.apply_to(*i->second, r);
  if (r.has_evidence_taken())
    w.next_serial = std::max(w.next_serial, r.evidence_taken().what().number() + 1);
  w.follow_restarts(*i->second, r);
  w.follow_health(*i->second, r);
  w.follow_pressure(*i->second, r);
}

void world::impl::begin_intent(container_view& c, const Record& r, uint64_t op) {
  c.op = op; // A new intent takes the place of one that it overrules.
  c.intent_seq = r.seq();
  c.intent_at_ns = r.time_ns();
  c.intent_request = r.request_id();
  c.intent_by.reset();
  if (r.has_by())
    c.intent_by = r.by();
}

void world::impl::end_intent(container_view& c) {
  c.before = v1::STATE_UNSPECIFIED;
  c.op = 0;
  c.intent_seq = 0;
  c.intent_at_ns = 0;
  c.intent_request.clear();
  c.intent_by.reset();
  c.force = false;
  c.stop_signal = 0;
  c.stop_timeout_ns = 0;
}

void world::impl::create(const Record& r) {
  const auto& body = r.creating();
  container_name name{r.namespace_(), r.container()};
  if (containers.contains(name)) // Only after a repaired journal: its end was lost.
    remove(name, r.time_ns());
  auto c = std::make_unique<container_view>();
  c->name = name;
  c->instance = r.instance() != 0 ? r.instance() : r.seq();
  c->state = v1::CREATING;
  c->spec = body.spec().SerializeAsString();
  c->remove_on_exit = body.spec().remove_on_exit();
  set_policies(*c, body.spec());
  c->cgroup_parent = body.spec().cgroup_parent();
  c->cgroup_home = body.cgroup_home();
  c->by_systemd = body.by_systemd();
  c->start_wanted = body.start();
  if (body.has_restore())
    c->restore = body.restore().SerializeAsString();
  c->runtime = body.runtime();
  c->created_at_ns = r.time_ns();
  begin_intent(*c, r, body.op());
  process_view p;
  p.id = init_id;
  p.serial = body.process_serial();
  p.run = 1;
  p.with_stdin = body.spec().with_stdin();
  p.terminal = body.spec().terminal();
  set_size(p, body.spec().terminal_size());
  p.op = body.op();
  p.request_id = r.request_id();
  p.intent_seq = r.seq();
  c->processes.push_back(std::move(p));
  next_serial = std::max(next_serial, body.process_serial() + 1);
  remember_labels(c->instance, body.spec());
  containers[name] = std::move(c);
}

bool world::impl::apply_intent(container_view& c, const Record& r) {
  auto state_before = c.state;
  auto begin = [&](v1::State to, uint64_t op) {
    const bool rests = is_resting(state_before) || state_before == v1::WAITING;
    auto before = rests ? state_before : c.before;
    begin_intent(c, r, op);
    c.before = before;
    c.state = to;
    return true;
  };
  switch (r.body_case()) {
  case Record::kStarting:
    if (r.starting().fresh() && !is_ending(c.state))
      return begin_fresh_run(c, r);
    return is_ending(c.state) || begin(v1::STARTING, r.starting().op());
  case Record::kWaiting:
    return is_ending(c.state) || begin(v1::WAITING, 0);
  case Record::kPausing:
    return is_ending(c.state) || begin(v1::PAUSING, 0);
  case Record::kResuming: // There is no such state: it is paused until it is not.
    return is_ending(c.state) || begin(v1::PAUSED, 0);
  case Record::kStopping:
    if (c.state == v1::DELETING)
      return true;
    begin(v1::STOPPING, 0);
    c.stop_signal = r.stopping().signal();
    c.stop_timeout_ns = r.stopping().timeout_ns();
    blame(c, r.seq());
    return true;
  case Record::kDeleting:
    begin(v1::DELETING, r.deleting().op());
    c.force = r.deleting().force();
    blame(c, r.seq());
    return true;
  default:
    return false;
  }
}

void world::impl::apply_to(container_view& c, const Record& r) {
  if (apply_intent(c, r) || apply_checkpoint(c, r))
    return;
  switch (r.body_case()) {
  case Record::kCreated:
    created(c, r);
    if (c.state == v1::CREATED && !c.start_wanted)
      end_intent(c);
    break;
  case Record::kStarted:
    return started(c, r);
  case Record::kStartFailed: // Init is gone, the container is not.
    if (c.state != v1::DELETING) {
      c.state = v1::STOPPED;
      end_intent(c);
    }
    c.start_wanted = false;
    c.restore.clear();
    if (auto* p = find_process(c, {}); p != nullptr) {
      p->phase = phase::exited; // Dead or not: it has no exit that could still be settled.
      p->died.clear();
    }
    break;
  case Record::kPaused:
    c.paused = true;
    if (!is_ending(c.state)) {
      c.state = v1::PAUSED;
      end_intent(c);
    }
    break;
  case Record::kResumed:
    c.paused = false;
    if (c.state == v1::PAUSED || c.state == v1::PAUSING) {
      c.state = v1::RUNNING;
      end_intent(c);
    } else if (c.before == v1::PAUSED) {
      c.before = v1::RUNNING;
    }
    break;
  case Record::kStateRestored:
    c.state = r.state_restored().state();
    follow_flag(c, c.state);
    end_intent(c);
    break;
  case Record::kOom:
    c.oom_kills = std::max(c.oom_kills, r.oom().kills());
    c.oom_limit_hits = std::max(c.oom_limit_hits, r.oom().limit_hits());
    c.oom_level = r.oom().level();
    c.oom_victim = r.oom().victim();
    c.oom_at_ns = r.time_ns();
    c.oom_seq = r.seq();
    break;
  case Record::kUndoing:
    c.undoing = r.undoing();
    break;
  case Record::kKilled:
    return killed(c, r);
  case Record::kUpdated:
    return updated(c, r.updated());
  case Record::kRestored:
    return restored(c, r);
  default:
    return apply_process(c, r);
  }
}

void world::impl::apply_process(container_view& c, const Record& r) {
  if (r.body_case() == Record::kExecAdding)
    return add_exec(c, r);
  auto* p = find_process(c, r.process());
  if (p == nullptr)
    return;
  switch (r.body_case()) {
  case Record::kExecStarted:
    if (p->phase == phase::adding) {
      set_pid(*p, r, r.exec_started().start_ticks());
      p->phase = phase::running;
      p->started_at_ns = r.time_ns();
      p->op = 0;
    }
    break;
  case Record::kExecFailed:
    if (p->id != init_id)
      drop_process(c, p->id);
    break;
  case Record::kDied:
    if (!p->exit && p->phase != phase::exited) { // Else its start failed: that was its end.
      p->phase = phase::died;
      p->died = r.died().SerializeAsString();
      if (r.pid() != 0)
        p->pid = r.pid();
    }
    break;
  case Record::kExited:
    return exited(c, r);
  case Record::kStdinClosed:
    p->stdin_closed = true;
    break;
  case Record::kResized:
    set_size(*p, r.resized().size());
    break;
  case Record::kOutputClosed:
    p->output_closed = true;
    p->output_bytes = {r.output_closed().stdout_bytes(), r.output_closed().stderr_bytes()};
    break;
  case Record::kProcessForgotten:
    if (p->id != init_id && p->phase == phase::exited)
      drop_process(c, p->id);
    break;
  default: // The supervisor's own life, logs, and what a later version adds.
    break;
  }
}

void world::impl::started(container_view& c, const Record& r) {
  c.run = r.run() != 0 ? r.run() : c.run + 1;
  c.started_at_ns = r.time_ns();
  c.start_wanted = false;
  c.restore.clear();
  if (auto* p = find_process(c, {}); p != nullptr) {
    if (p->phase == phase::exited && p->exit) { // A new run: the last one's end is kept apart.
      keep_exit(c, *p, r.time_ns());
      p->exit.reset();
      p->phase = phase::created;
    }
    p->run = c.run;
    if (p->phase != phase::died) {
      set_pid(*p, r, r.started().start_ticks());
      p->phase = phase::running;
    }
    p->started_at_ns = r.time_ns();
    p->op = 0;
  }
  if (is_ending(c.state)) {
    c.before = v1::RUNNING;
    return;
  }
  c.state = v1::RUNNING;
  end_intent(c);
}

bool world::impl::begin_fresh_run(container_view& c, const Record& r) {
  begin_intent(c, r, r.starting().op());
  c.before = v1::STOPPED;
  c.state = v1::CREATING;
  c.start_wanted = true;
  c.started_at_ns = 0;
  c.restore.clear();
  if (r.starting().has_restore())
    c.restore = r.starting().restore().SerializeAsString();
  c.oom_kills = c.oom_limit_hits = c.oom_claimed = 0; // Its cgroup is a new one.
  c.oom_level.clear();
  c.oom_victim.clear();
  auto* init = find_process(c, {});
  if (init == nullptr)
    return true;
  if (init->exit)
    keep_exit(c, *init, r.time_ns()); // The last run's end is kept apart.
  c.run = r.run() != 0 ? r.run() : c.run + 1;
  process_view next;
  next.id = init->id;
  next.serial = r.starting().process_serial();
  c.earlier_log_files.reset();
  if (next.serial == init->serial)
    c.earlier_log_files = r.starting().log_files();
  else
    c.evidence.clear(); // It lay with the log.
  next.run = c.run;
  next.with_stdin = init->with_stdin;
  next.terminal = init->terminal;
  next.width = init->width;
  next.height = init->height;
  next.op = r.starting().op();
  next.request_id = r.request_id();
  next.intent_seq = r.seq();
  *init = std::move(next);
  next_serial = std::max(next_serial, r.starting().process_serial() + 1);
  return true;
}

void world::impl::add_exec(container_view& c, const Record& r) {
  if (r.process().empty() || r.process() == init_id)
    return;
  if (auto* old = find_process(c, r.process()); old != nullptr)
    drop_process(c, old->id);
  process_view p;
  p.id = r.process();
  p.serial = r.exec_adding().process_serial();
  p.run = std::max(r.run(), 1u);
  p.spec = r.exec_adding().spec().SerializeAsString();
  p.with_stdin = r.exec_adding().spec().with_stdin();
  p.terminal = r.exec_adding().spec().terminal();
  set_size(p, r.exec_adding().spec().terminal_size());
  p.ttl_ns = r.exec_adding().spec().ttl_ns();
  p.op = r.exec_adding().op();
  p.request_id = r.request_id();
  p.intent_seq = r.seq();
  c.processes.push_back(std::move(p));
  next_serial = std::max(next_serial, r.exec_adding().process_serial() + 1);
}

void world::impl::restored(container_view& c, const Record& r) {
  auto to = r.restored().state();
  if (to == v1::STATE_UNSPECIFIED || (!r.process().empty() && r.process() != init_id))
    return;
  c.state = to;
  follow_flag(c, to);
  if (is_resting(to))
    end_intent(c);
}

} // namespace gantry::runtime
