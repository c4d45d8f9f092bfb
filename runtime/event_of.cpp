#include <google/protobuf/util/json_util.h>

#include "runtime/health_messages.hpp"
#include "runtime/world.hpp"

namespace gantry::runtime {

namespace {

using journal::Record;

/// The type of the public event of a restart policy's record, or a probe's.
std::string_view type_of_restart(const Record& r) {
  switch (r.body_case()) {
  case Record::kRestartScheduled: return "restart-scheduled";
  case Record::kRestartCancelled: return "restart-cancelled";
  case Record::kGivenUp: return "dead";
  case Record::kProbeEnded:
    return r.probe_ended().from() != r.probe_ended().to()
               || r.probe_ended().was_ready() != r.probe_ended().ready()
             ? "health" : "";
  case Record::kNotified:
    return r.notified().what().empty() ? "" : r.notified().what() == "ready" ? "ready" : "notify";
  case Record::kEvidenceTaken: return "evidence";
  case Record::kHealthAction: return "health-action";
  case Record::kHookEnded: return "hook";
  case Record::kWaiting: return "waiting";
  case Record::kPressure: return "pressure";
  default: // Intents, answers, and facts that nobody asks for.
    return {};
  }
}

/// The type of the public event of a record; empty where the record is private.
std::string_view type_of(const Record& r) {
  switch (r.body_case()) {
  case Record::kExecAdding:
    return "exec-added";
  case Record::kCreated:
    return "create";
  case Record::kStarted:
    return "start";
  case Record::kCreateFailed:
    return "create-failed";
  case Record::kStartFailed:
    return "start-failed";
  case Record::kExecStarted:
    return "exec-started";
  case Record::kExecFailed:
    return "exec-failed";
  case Record::kExited:
    return "exit";
  case Record::kOom:
    return "oom";
  case Record::kPaused:
    return "paused";
  case Record::kResumed:
    return "resumed";
  case Record::kKilled:
    return "kill";
  case Record::kUpdated:
    return "updated";
  case Record::kDeleted:
    return "delete";
  case Record::kRestored:
    return "restored";
  case Record::kCheckpointed:
    return "checkpointed";
  case Record::kCheckpointFailed:
    return "checkpoint-failed";
  case Record::kCheckpointRemoved:
    return "checkpoint-removed";
  case Record::kLogBlocked:
    return r.log_blocked().blocked() ? "log-blocked" : "log-unblocked";
  case Record::kOutputGap:
    return "output-gap";
  case Record::kLogGap:
    return "log-gap";
  case Record::kLogDropped:
    return "log-dropped";
  case Record::kLogReopened:
    return "log-reopened";
  case Record::kOutputClosed:
    return "output-closed";
  case Record::kSupervisorStarted:
    return "supervisor-started";
  case Record::kSupervisorStopping:
    return "supervisor-stopping";
  case Record::kKeeperLost:
    return "keeper-lost";
  case Record::kGap:
    return "gap";
  case Record::BODY_NOT_SET: // A later version recorded it: told, not passed over in silence.
    return "unknown";
  default:
    return type_of_restart(r);
  }
}

void put(v1::Event& e, const char* key, const std::string& value) {
  if (!value.empty())
    (*e.mutable_details())[key] = value;
}

template <class Number>
void put_number(v1::Event& e, const char* key, Number value) {
  if (value != 0)
    (*e.mutable_details())[key] = std::to_string(value);
}

template <class Failure>
void put_failure(v1::Event& e, const Failure& f) {
  e.set_message(f.message());
  put(e, "code", f.code());
  put(e, "message", f.message());
  put(e, "cure", f.cure());
}

/// An update names what it changed, and nothing else.
void put_resources(v1::Event& e, const v1::Resources& r) {
  put_number(e, "memory_bytes", r.memory_bytes());
  put_number(e, "memory_swap_bytes", r.memory_swap_bytes());
  put_number(e, "nano_cpus", r.nano_cpus());
  put_number(e, "cpu_shares", r.cpu_shares());
  put_number(e, "cpu_quota_us", r.cpu_quota_us());
  put_number(e, "cpu_period_us", r.cpu_period_us());
  put(e, "cpuset_cpus", r.cpuset_cpus());
  put(e, "cpuset_mems", r.cpuset_mems());
  put_number(e, "pids_limit", r.pids_limit());
  put_number(e, "memory_reservation_bytes", r.memory_reservation_bytes());
  for (const auto& [file, text] : r.unified())
    put(e, ("unified." + file).c_str(), text);
}

void put_message(v1::Event& e, const char* key, const google::protobuf::Message& m) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (google::protobuf::util::MessageToJsonString(m, &text, options).ok())
    put(e, key, text);
}

/// The policies that were changed, as they were and as they are.
void put_policies(v1::Event& e, const journal::Updated& x) {
  if (x.has_restart()) {
    put_message(e, "restart", x.restart());
    put_message(e, "restart_before", x.restart_before());
  }
  if (x.has_health()) {
    put_message(e, "health", x.health());
    put_message(e, "health_before", x.health_before());
  }
}

void put_supervisor(v1::Event& e, const journal::SupervisorStarted& s) {
  put(e, "version", s.version());
  put(e, "cause", s.cause());
  put(e, "boot_id", s.boot_id());
  put_number(e, "previous_signal", s.previous_signal());
  put_number(e, "previous_code", s.previous_code());
  put_number(e, "generation", s.generation());
}

void put_gap(v1::Event& e, const journal::Gap& g) {
  e.set_message(g.reason());
  (*e.mutable_details())["from"] = std::to_string(g.from_seq());
  (*e.mutable_details())["to"] = std::to_string(g.to_seq());
  put(e, "reason", g.reason());
}

/// What happened to a log.
void put_log(v1::Event& e, const Record& r) {
  if (r.has_log_blocked())
    e.set_message(r.log_blocked().message());
  if (r.has_log_gap())
    e.set_message(r.log_gap().message());
  if (r.has_log_dropped()) {
    e.set_message("the log could not keep up and gave bytes up, as its options say");
    put_number(e, "stdout_dropped", r.log_dropped().stdout_bytes());
    put_number(e, "stderr_dropped", r.log_dropped().stderr_bytes());
  }
  if (r.has_log_reopened())
    put_number(e, "file", r.log_reopened().file());
}

void put_killed(v1::Event& e, const journal::Killed& x) {
  e.mutable_details()->insert({"signal", signal_name(x.signal())});
  if (x.all())
    put(e, "all", "true");
  if (x.tree())
    put(e, "tree", "true");
  put(e, "reason", x.reason());
}

void put_health(v1::Event& e, const journal::ProbeEnded& x) {
  put(e, "role", x.role());
  put(e, "old", x.from());
  put(e, "new", x.to());
  put(e, "ready", x.ready() ? "true" : "false");
  put(e, "result", x.result().result());
  if (x.result().has_exit_code())
    put(e, "exit_code", std::to_string(x.result().exit_code()));
  put_number(e, "failures", x.now().failures());
  put(e, "output", x.result().output());
  put_number(e, "cpu_ns", x.result().cpu_ns());
  put_number(e, "took_ns", x.result().ended_ns() - x.result().began_ns());
}

void put_notified(v1::Event& e, const journal::Notified& x) {
  put(e, "what", x.what());
  put(e, "status", x.now().status());
  if (x.was_ready() != x.ready())
    put(e, "ready", x.ready() ? "true" : "false");
}

void put_evidence(v1::Event& e, const v1::EvidenceKept& x) {
  put(e, "number", std::to_string(x.number()));
  put(e, "reason", x.reason());
  put_number(e, "bytes", x.bytes());
  put(e, "cut", x.cut() ? "true" : "false");
}

void put_action(v1::Event& e, const journal::HealthAction& x) {
  put(e, "action", x.what());
  put_number(e, "number", x.number());
  put_number(e, "step", x.step());
  put_number(e, "steps", x.steps());
  put_number(e, "attempt", x.attempt());
  put_number(e, "of", x.of());
  put_number(e, "evidence", x.evidence());
}

void put_hook(v1::Event& e, const journal::HookEnded& x) {
  e.set_message(x.message());
  put(e, "hook", x.program());
  put(e, "result", x.result());
  if (x.result() == "exited" && x.signal() == 0)
    put(e, "exit_code", std::to_string(x.exit_code()));
  put_number(e, "signal", x.signal());
}

void put_waiting(v1::Event& e, const journal::Waiting& x) {
  std::string conditions;
  std::string words;
  for (const auto& u : x.unmet()) {
    conditions += (conditions.empty() ? "" : ",") + u.condition();
    words += (words.empty() ? "" : "; ") + u.condition() + ": " + u.why();
  }
  e.set_message(words);
  put(e, "for", conditions);
  put_number(e, "timeout_ns", x.timeout_ns());
}

void put_pressure(v1::Event& e, const journal::Pressure& x) {
  put(e, "threshold", x.threshold());
  put_number(e, "total_us", x.total_us());
  put_number(e, "count", x.count());
  if (x.total_us() != 0)
    put(e, "avg10", std::to_string(x.avg10()));
}

void put_restart(v1::Event& e, const Record& r) {
  if (r.has_waiting())
    put_waiting(e, r.waiting());
  if (r.has_evidence_taken())
    put_evidence(e, r.evidence_taken().what());
  if (r.has_notified())
    put_notified(e, r.notified());
  if (r.has_pressure())
    put_pressure(e, r.pressure());
  if (r.has_health_action())
    put_action(e, r.health_action());
  if (r.has_hook_ended())
    put_hook(e, r.hook_ended());
  if (r.has_probe_ended())
    put_health(e, r.probe_ended());
  if (r.has_given_up()) {
    e.set_message("given up: " + r.given_up().reason());
    put(e, "reason", r.given_up().reason());
    put_number(e, "of", r.given_up().of());
  }
  if (!r.has_restart_scheduled())
    return;
  const auto& x = r.restart_scheduled();
  e.set_message(x.reason());
  put(e, "reason", x.reason());
  put_number(e, "at_ns", x.at_ns());
  put_number(e, "delay_ns", x.delay_ns());
  put_number(e, "attempt", x.attempt());
  put_number(e, "of", x.of());
  put_number(e, "total", x.total());
}

void put_oom(v1::Event& e, const journal::Oom& x) {
  put(e, "level", x.level());
  put(e, "victim", x.victim());
  put_number(e, "kills", x.kills());
  put(e, "cgroup", x.cgroup());
  put_number(e, "limit_bytes", x.limit_bytes());
  put_number(e, "peak_bytes", x.peak_bytes());
}

/// What a type has beyond the common fields.
void put_body(v1::Event& e, const Record& r) {
  switch (r.body_case()) {
  case Record::kCreated:
    *e.mutable_labels() = r.created().labels();
    break;
  case Record::kCreateFailed:
    return put_failure(e, r.create_failed());
  case Record::kStartFailed:
    return put_failure(e, r.start_failed());
  case Record::kExecFailed:
    return put_failure(e, r.exec_failed());
  case Record::kExited:
    *e.mutable_exit() = r.exited().exit();
    e.mutable_exit()->set_seq(r.seq());
    break;
  case Record::kOom:
    return put_oom(e, r.oom());
  case Record::kOutputClosed:
    put_number(e, "stdout_bytes", r.output_closed().stdout_bytes());
    put_number(e, "stderr_bytes", r.output_closed().stderr_bytes());
    break;
  case Record::kKilled:
    return put_killed(e, r.killed());
  case Record::kUpdated:
    put_resources(e, r.updated().resources());
    return put_policies(e, r.updated());
  case Record::kRestored:
    e.set_message(r.restored().what());
    put(e, "adopted", r.restored().adopted() ? "true" : "false");
    put(e, "what", r.restored().what());
    put(e, "state", v1::State_Name(r.restored().state()));
    break;
  case Record::kStarted:
    put(e, "checkpoint", r.started().checkpoint());
    break;
  case Record::kCheckpointed:
    put(e, "name", r.checkpointed().what().name());
    put(e, "dir", r.checkpointed().what().dir());
    put(e, "left_running", r.checkpointed().what().left_running() ? "true" : "false");
    break;
  case Record::kCheckpointFailed:
    put(e, "name", r.checkpoint_failed().name());
    return put_failure(e, r.checkpoint_failed());
  case Record::kCheckpointRemoved:
    put(e, "name", r.checkpoint_removed().name());
    break;
  case Record::kLogBlocked:
  case Record::kLogGap:
  case Record::kLogDropped:
  case Record::kLogReopened:
    return put_log(e, r);
  case Record::kOutputGap:
    e.set_message(r.output_gap().reason());
    put_number(e, "at_most_bytes", r.output_gap().at_most_bytes());
    break;
  case Record::kSupervisorStarted:
    return put_supervisor(e, r.supervisor_started());
  case Record::kSupervisorStopping:
    put(e, "leaves_running", r.supervisor_stopping().leaves_running() ? "true" : "false");
    put(e, "cause", r.supervisor_stopping().cause());
    break;
  case Record::kGap:
    return put_gap(e, r.gap());
  default:
    return put_restart(e, r);
  }
}

} // namespace

std::optional<v1::Event> event_of(const Record& r, probe_runs runs) {
  auto type = type_of(r);
  if (type.empty() && r.has_probe_ended() && runs == probe_runs::told)
    type = "probe";
  if (type.empty() || is_probe_process(r.process())) // Not as execs, and only what they change.
    return std::nullopt;
  v1::Event e;
  e.set_seq(r.seq());
  e.set_epoch(r.epoch());
  e.set_time_ns(r.time_ns());
  e.set_type(std::string(type));
  e.set_namespace_(r.namespace_());
  e.set_container(r.container());
  e.set_instance(r.instance());
  e.set_run(r.run());
  e.set_process(r.process());
  e.set_pid(r.pid());
  e.set_cause(r.cause());
  if (r.has_by())
    *e.mutable_by() = r.by();
  put_body(e, r);
  return e;
}

} // namespace gantry::runtime
