#include <algorithm>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include "runtime/world_impl.hpp"

namespace gantry::runtime {

namespace {

using phase = process_view::phase_t;

constexpr std::string_view phase_names[] = {"adding", "created", "running", "died", "exited"};

phase phase_named(std::string_view name) {
  for (size_t i = 0; i < std::size(phase_names); ++i)
    if (phase_names[i] == name)
      return phase(i);
  return phase::exited; // A later version's: nothing that we could still act upon.
}

/// A message that lies here as bytes goes into the snapshot as bytes: on the wire both are the
/// same, and a snapshot of many containers is made within one turn of the loop.
void pack(google::protobuf::Message& out, int field, const std::string& bytes) {
  out.GetReflection()->MutableUnknownFields(&out)->AddLengthDelimited(field, bytes);
}

void save_process(const process_view& p, journal::ProcessState& out) {
  using S = journal::ProcessState;
  out.set_id(p.id);
  out.set_serial(p.serial);
  out.set_pid(p.pid);
  out.set_start_ticks(p.start_ticks);
  out.set_phase(std::string(phase_names[size_t(p.phase)]));
  if (!p.spec.empty())
    pack(out, S::kSpecFieldNumber, p.spec);
  if (p.phase == phase::died)
    pack(out, S::kDiedFieldNumber, p.died);
  if (p.exit)
    *out.mutable_exit() = *p.exit;
  out.set_with_stdin(p.with_stdin);
  out.set_stdin_closed(p.stdin_closed);
  out.set_terminal(p.terminal);
  if (p.width != 0) {
    out.mutable_terminal_size()->set_width(p.width);
    out.mutable_terminal_size()->set_height(p.height);
  }
  out.set_started_at_ns(p.started_at_ns);
  out.set_op(p.op);
  out.set_request_id(p.request_id);
  out.set_cause(p.cause);
  out.set_intent_seq(p.intent_seq);
  out.set_run(p.run);
  out.set_ended_by(p.ended_by);
  out.set_ended_signal(p.ended_signal);
  if (p.output_closed) {
    out.mutable_output_closed()->set_stdout_bytes(p.output_bytes[0]);
    out.mutable_output_closed()->set_stderr_bytes(p.output_bytes[1]);
  }
}

process_view load_process(const journal::ProcessState& s) {
  process_view p;
  p.id = s.id();
  p.serial = s.serial();
  p.pid = s.pid();
  p.start_ticks = s.start_ticks();
  p.phase = phase_named(s.phase());
  if (s.has_spec())
    p.spec = s.spec().SerializeAsString();
  if (s.has_died())
    p.died = s.died().SerializeAsString();
  if (s.has_exit())
    p.exit = s.exit();
  p.with_stdin = s.with_stdin();
  p.stdin_closed = s.stdin_closed();
  p.terminal = s.terminal();
  p.width = uint16_t(s.terminal_size().width());
  p.height = uint16_t(s.terminal_size().height());
  p.started_at_ns = s.started_at_ns();
  p.op = s.op();
  p.request_id = s.request_id();
  p.cause = s.cause();
  p.intent_seq = s.intent_seq();
  p.run = s.run();
  p.ended_by = s.ended_by();
  p.ended_signal = s.ended_signal();
  p.ttl_ns = s.spec().ttl_ns();
  p.output_closed = s.has_output_closed();
  if (p.output_closed)
    p.output_bytes = {s.output_closed().stdout_bytes(), s.output_closed().stderr_bytes()};
  return p;
}

std::unique_ptr<container_view> load_container(const journal::ContainerState& s) {
  auto c = std::make_unique<container_view>();
  c->name = {s.namespace_(), s.id()};
  c->instance = s.instance();
  c->run = s.run();
  c->state = s.state();
  c->before = s.before();
  c->paused = s.paused();
  c->spec = s.spec().SerializeAsString();
  c->remove_on_exit = s.spec().remove_on_exit();
  c->cgroup_parent = s.spec().cgroup_parent();
  c->cgroup_home = s.cgroup_home();
  c->by_systemd = s.by_systemd();
  c->start_wanted = s.start_wanted();
  c->runtime = s.runtime();
  c->command.assign(s.command().begin(), s.command().end());
  c->created_at_ns = s.created_at_ns();
  c->started_at_ns = s.started_at_ns();
  c->op = s.op();
  c->intent_seq = s.intent_seq();
  c->intent_at_ns = s.intent_at_ns();
  c->intent_request = s.intent_request();
  if (s.has_intent_by())
    c->intent_by = s.intent_by();
  c->force = s.force();
  c->stop_signal = s.stop_signal();
  c->stop_timeout_ns = s.stop_timeout_ns();
  c->oom_kills = s.oom_kills();
  for (const auto& x : s.checkpoints())
    c->checkpoints.push_back(x.SerializeAsString());
  if (s.has_checkpointing())
    c->checkpointing = s.checkpointing().SerializeAsString();
  if (s.has_restore())
    c->restore = s.restore().SerializeAsString();
  c->oom_limit_hits = s.oom_limit_hits();
  c->oom_level = s.oom_level();
  c->oom_claimed = s.oom_claimed();
  c->oom_victim = s.oom_victim();
  c->oom_at_ns = s.oom_at_ns();
  c->oom_seq = s.oom_seq();
  if (s.has_undoing())
    c->undoing = s.undoing();
  set_policies(*c, s.spec());
  if (s.has_health())
    c->health = s.health().SerializeAsString();
  if (s.has_earlier_log_files())
    c->earlier_log_files = s.earlier_log_files();
  for (const auto& x : s.pressure())
    c->pressure.push_back(x.SerializeAsString());
  for (const auto& x : s.evidence())
    c->evidence.push_back(x.SerializeAsString());
  if (s.has_restart())
    c->restart_state = s.restart().SerializeAsString();
  for (const auto& p : s.processes()) {
    c->processes.push_back(load_process(p));
    if (c->processes.back().run == 0) // Written before processes had a run of their own.
      c->processes.back().run = std::max(c->run, 1u);
  }
  return c;
}

} // namespace

void save_container(const container_view& c, journal::ContainerState& out) {
  using S = journal::ContainerState;
  out.set_namespace_(c.name.ns);
  out.set_id(c.name.id);
  out.set_instance(c.instance);
  out.set_run(c.run);
  out.set_state(c.state);
  pack(out, S::kSpecFieldNumber, c.spec);
  out.set_runtime(c.runtime);
  out.set_cgroup_home(c.cgroup_home);
  out.set_by_systemd(c.by_systemd);
  for (const auto& word : c.command)
    out.add_command(word);
  out.set_created_at_ns(c.created_at_ns);
  out.set_started_at_ns(c.started_at_ns);
  for (const auto& p : c.processes)
    save_process(p, *out.add_processes());
  out.set_start_wanted(c.start_wanted);
  out.set_op(c.op);
  out.set_intent_request(c.intent_request);
  out.set_before(c.before);
  if (c.intent_by)
    *out.mutable_intent_by() = *c.intent_by;
  out.set_force(c.force);
  out.set_stop_signal(c.stop_signal);
  out.set_stop_timeout_ns(c.stop_timeout_ns);
  out.set_intent_at_ns(c.intent_at_ns);
  out.set_intent_seq(c.intent_seq);
  out.set_oom_kills(c.oom_kills);
  out.set_paused(c.paused);
  for (const auto& x : c.checkpoints)
    pack(out, S::kCheckpointsFieldNumber, x);
  if (!c.checkpointing.empty())
    pack(out, S::kCheckpointingFieldNumber, c.checkpointing);
  if (!c.restore.empty())
    pack(out, S::kRestoreFieldNumber, c.restore);
  out.set_oom_limit_hits(c.oom_limit_hits);
  out.set_oom_level(c.oom_level);
  out.set_oom_claimed(c.oom_claimed);
  out.set_oom_victim(c.oom_victim);
  out.set_oom_at_ns(c.oom_at_ns);
  out.set_oom_seq(c.oom_seq);
  if (c.undoing)
    *out.mutable_undoing() = *c.undoing;
  if (!c.restart_state.empty())
    pack(out, S::kRestartFieldNumber, c.restart_state);
  if (!c.health.empty())
    pack(out, S::kHealthFieldNumber, c.health);
  if (c.earlier_log_files)
    out.set_earlier_log_files(*c.earlier_log_files);
  for (const auto& x : c.pressure)
    pack(out, S::kPressureFieldNumber, x);
  for (const auto& x : c.evidence)
    pack(out, S::kEvidenceFieldNumber, x);
}

void save_answer(const kept_answer& x, journal::Request& out) {
  out.set_request_id(x.request_id);
  *out.mutable_answer() = x.answer;
}

void save_exit(const finished_exit& x, journal::FinishedExit& out) {
  out.set_namespace_(x.name.ns);
  out.set_container(x.name.id);
  out.set_instance(x.instance);
  out.set_run(x.run);
  out.set_process(x.process);
  *out.mutable_exit() = x.exit;
  out.set_removed_at_ns(x.removed_at_ns);
}

void save_removed(const removed_labels& x, journal::RemovedLabels& out) {
  out.set_instance(x.instance);
  out.set_removed_at_ns(x.removed_at_ns);
  out.mutable_labels()->insert(x.labels->begin(), x.labels->end());
}

journal::Snapshot world::save() const {
  const auto& w = *impl_;
  journal::Snapshot packed;
  packed.set_next_serial(w.next_serial);
  for (const auto& [name, c] : w.containers)
    save_container(*c, *packed.add_containers());
  for (const auto& x : w.answer_order)
    save_answer(*x, *packed.add_requests());
  for (const auto& x : w.finished)
    save_exit(*x, *packed.add_finished());
  for (const auto& x : w.removed)
    save_removed(x, *packed.add_removed());
  journal::Snapshot out;
  GANTRY_CHECK(out.ParseFromString(packed.SerializeAsString()));
  return out;
}

void world::load(const journal::Snapshot& from) {
  GANTRY_CHECK(impl_->packing == nullptr);
  auto fresh = std::make_shared<impl>();
  fresh->policy = impl_->policy;
  auto& w = *fresh;
  w.next_serial = std::max<uint64_t>(1, from.next_serial());
  for (const auto& s : from.containers()) {
    auto c = load_container(s);
    w.remember_labels(c->instance, s.spec());
    auto name = c->name;
    w.containers[name] = std::move(c);
  }
  for (const auto& r : from.requests())
    w.remember_answer(r.request_id(), r.answer());
  for (const auto& e : from.finished())
    w.finished.push_back(
      std::make_shared<const finished_exit>(finished_exit{{e.namespace_(), e.container()},
                                                          e.instance(),
                                                          e.run(),
                                                          e.process(),
                                                          e.exit(),
                                                          e.removed_at_ns()}));
  for (const auto& r : from.removed()) {
    auto known = std::make_shared<const label_map>(r.labels().begin(), r.labels().end());
    w.labels[r.instance()] = known;
    w.removed.push_back({r.instance(), r.removed_at_ns(), std::move(known)});
  }
  impl_ = std::move(fresh);
}

} // namespace gantry::runtime
