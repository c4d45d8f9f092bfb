#include "gateways/metrics/render.hpp"

namespace gantry::metrics {

namespace {

using actors::figures;

void put_counter(exposition& to, std::string_view name, std::string_view help, uint64_t value) {
  to.family("counter", name, help);
  to.counter({}, value);
}

void put_gauge(exposition& to, std::string_view name, std::string_view help, double value) {
  to.family("gauge", name, help);
  to.gauge({}, value);
}

/// One family over all values of one label.
template <class Map>
void put_counters(exposition& to, std::string_view name, std::string_view help,
                  std::string_view label, const Map& values) {
  to.family("counter", name, help);
  for (const auto& [key, value] : values)
    to.counter({{label, key}}, value);
}

void put_supervisor(exposition& to, const figures& x) {
  to.family("gauge", "gantry_build_info", "The version that serves; always 1.");
  to.gauge({{"version", x.version}}, 1);
  put_gauge(to, "gantry_start_time_seconds", "When this life of the supervisor began.",
            double(x.started_at_ns) / 1e9);
  put_gauge(to, "gantry_generation", "How often it was started on this arena.",
            double(x.generation));
  put_gauge(to, "gantry_keeper_alive", "1 with a living keeper, 0 without one.", x.keeper_alive);
  put_counter(to, "gantry_loop_turns", "Turns of the loop.", x.turns);
  put_counter(to, "gantry_loop_slow_turns", "Turns longer than 5 ms.", x.slow_turns);
  to.family("histogram", "gantry_loop_turn_seconds", "Work of a turn, the wait left out.");
  to.histogram({}, x.turn_time);
  to.family("counter", "gantry_cpu_seconds", "CPU time of the supervisor, its children left out.");
  to.seconds({}, x.cpu_ns);
  put_gauge(to, "gantry_resident_memory_bytes", "Resident memory.", double(x.rss_bytes));
  put_gauge(to, "gantry_open_fds", "Descriptors in use.", double(x.fds));
  put_gauge(to, "gantry_max_fds", "Descriptors that it may have.", double(x.fd_limit));
  put_counter(to, "gantry_own_log_dropped_lines", "Lines of its own log that found no room.",
              x.own_lines_dropped);
}

void put_storage(exposition& to, const figures& x) {
  put_gauge(to, "gantry_arena_blocks", "Blocks of the arena's pool.", double(x.arena_blocks));
  put_gauge(to, "gantry_arena_blocks_used", "Those in use.", double(x.arena_blocks_used));
  put_gauge(to, "gantry_log_slots", "Processes that can write logs at a time.",
            double(x.log_slots));
  put_gauge(to, "gantry_log_slots_used", "Those that do.", double(x.log_slots_used));
  put_counter(to, "gantry_journal_records", "Records ever made; the newest one's number.",
              x.journal_records);
  put_gauge(to, "gantry_journal_pending_bytes", "In the arena, not on disk yet.",
            double(x.journal_pending_bytes));
  put_gauge(to, "gantry_journal_disk_bytes", "The journal on disk.", double(x.journal_disk_bytes));
  put_gauge(to, "gantry_journal_disk_full", "1 while the disk has no room.", x.journal_disk_full);
  put_counter(to, "gantry_event_gaps", "Times that a reader of events was told of a loss.",
              x.event_gaps);
}

void put_runtime(exposition& to, const figures& x) {
  put_gauge(to, "gantry_runtime_commands_in_flight", "Those that run now.",
            double(x.commands_in_flight));
  put_gauge(to, "gantry_runtime_commands_queued", "Those that wait for a place.",
            double(x.commands_queued));
  put_counter(to, "gantry_runtime_commands", "Commands of the OCI runtime that were started.",
              x.commands);
  to.family("counter", "gantry_runtime_command_seconds", "Time that they took, in sum.");
  to.seconds({}, x.command_ns);
  put_counter(to, "gantry_runtime_commands_failed", "Those that ended with an error.",
              x.commands_failed);
  put_counter(to, "gantry_runtime_commands_overdue", "Those killed at their deadline.",
              x.commands_overdue);
  to.family("histogram", "gantry_step_seconds",
            "From the recorded intent of a step to its outcome: the runtime's command and what "
            "surrounds it.");
  for (const auto& [step, took] : x.step_time)
    to.histogram({{"step", step}}, took);
}

void put_containers(exposition& to, const figures& x) {
  to.family("gauge", "gantry_containers", "Containers by state.");
  for (const auto& [state, count] : x.by_state)
    to.gauge({{"state", state}}, double(count));
  put_counter(to, "gantry_starts", "Containers started.", x.starts);
  put_counter(to, "gantry_restarts", "Those that had run before.", x.restarts);
  put_counters(to, "gantry_policy_restarts",
               "Runs that a restart policy has asked for, by what ended the run before.", "cause",
               x.policy_restarts);
  to.family("gauge", "gantry_containers_health", "Containers with health checks, by health.");
  for (const auto& [health, count] : x.by_health)
    to.gauge({{"health", health}}, double(count));
  put_counter(to, "gantry_execs", "Processes started in containers.", x.execs);
  put_counter(to, "gantry_deletes", "Containers removed.", x.deletes);
  put_counters(to, "gantry_exits", "Settled exits of containers and their processes.", "cause",
               x.exits);
  put_counters(to, "gantry_oom_events", "OOM kills by whose limit was hit.", "level", x.ooms);
  put_counters(to, "gantry_failures", "Containers and processes that could not be made.", "step",
               x.failures);
  to.family("histogram", "gantry_exit_settle_seconds",
            "From the kernel's word of an end to its settled exit.");
  to.histogram({}, x.settle_time);
  to.family("counter", "gantry_log_bytes", "Output that was logged.");
  to.counter({{"stream", "stdout"}}, x.stdout_bytes);
  to.counter({{"stream", "stderr"}}, x.stderr_bytes);
  put_counter(to, "gantry_log_dropped_bytes", "Output given up by a policy.", x.dropped_bytes);
}

void put_each(exposition& to, const figures& x) {
  put_gauge(to, "gantry_container_metrics_left_out",
            "Containers without figures of their own (--metrics-containers).", double(x.left_out));
  if (x.each.empty())
    return;
  to.family("counter", "gantry_container_log_bytes", "Output of a container that was logged.");
  for (const auto& c : x.each) {
    to.counter({{"namespace", c.ns}, {"container", c.id}, {"stream", "stdout"}}, c.stdout_bytes);
    to.counter({{"namespace", c.ns}, {"container", c.id}, {"stream", "stderr"}}, c.stderr_bytes);
  }
  to.family("counter", "gantry_container_log_dropped_bytes",
            "Output of a container's living processes given up by its policy.");
  for (const auto& c : x.each)
    to.counter({{"namespace", c.ns}, {"container", c.id}}, c.dropped_bytes);
  to.family("counter", "gantry_container_oom_kills", "OOM kills in a container.");
  for (const auto& c : x.each)
    to.counter({{"namespace", c.ns}, {"container", c.id}}, c.oom_kills);
  to.family("counter", "gantry_container_restarts", "Runs of a container behind its first.");
  for (const auto& c : x.each)
    to.counter({{"namespace", c.ns}, {"container", c.id}}, c.restarts);
  to.family("gauge", "gantry_container_health", "1 for the health that it has.");
  for (const auto& c : x.each)
    for (const auto* health : {"starting", "healthy", "unhealthy"})
      if (!c.health.empty())
        to.gauge({{"namespace", c.ns}, {"container", c.id}, {"health", health}},
                 c.health == health);
}

} // namespace

std::string render(const figures& x, format f) {
  exposition out(f);
  put_supervisor(out, x);
  put_storage(out, x);
  put_runtime(out, x);
  put_containers(out, x);
  put_each(out, x);
  return out.done();
}

} // namespace gantry::metrics
