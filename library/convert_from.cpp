#include "library/convert.hpp"

// From the words of the bus to the public structs.

namespace gantry {

const char* name_of(container_state s) noexcept {
  constexpr const char* words[] = {"unspecified", "creating", "created",  "starting", "running",
                                   "pausing",     "paused",   "stopping", "stopped",  "restarting",
                                   "deleting",    "dead",     "unknown",  "checkpointing",
                                   "waiting"};
  const auto at = size_t(s);
  return at < std::size(words) ? words[at] : "unknown";
}

namespace library {

namespace {

static_assert(int(container_state::running) == int(v1::RUNNING)
              && int(container_state::unknown) == int(v1::UNKNOWN)
              && int(container_state::checkpointing) == int(v1::CHECKPOINTING)
              && int(container_state::waiting) == int(v1::WAITING));
static_assert(int(on_disconnect::term) == int(v1::TERM)
              && int(on_disconnect::kill) == int(v1::KILL));

} // namespace

exit_report from_bus(const v1::Exit& x) {
  exit_report out;
  if (x.has_exit_code())
    out.code = x.exit_code();
  out.signal = x.signal();
  out.core_dumped = x.core_dumped();
  out.oom = x.oom();
  out.oom_level = x.oom_level();
  out.stdout_bytes = x.stdout_bytes();
  out.stderr_bytes = x.stderr_bytes();
  out.io_open = x.io_open();
  out.at = at(x.exited_at_ns());
  out.status_unknown = x.status_unknown();
  out.seq = x.seq();
  out.checkpoint = x.checkpoint();
  out.stdout_dropped = x.stdout_dropped();
  out.stderr_dropped = x.stderr_dropped();
  out.cpu_ns = x.cpu_ns();
  out.cpu_user_ns = x.cpu_user_ns();
  out.cpu_system_ns = x.cpu_system_ns();
  out.max_rss_bytes = x.max_rss_bytes();
  out.ended_by = x.ended_by();
  out.oom_victim = x.oom_victim();
  return out;
}

container_summary from_bus(const v1::Container& x) {
  container_summary out;
  out.ref = {x.id(), x.namespace_()};
  out.instance = x.instance();
  out.run = x.run();
  out.state = v1::State_IsValid(x.state()) ? container_state(x.state()) : container_state::unknown;
  out.pid = x.pid();
  out.command = {x.command().begin(), x.command().end()};
  out.labels = map_of(x.labels());
  out.created = at(x.created_at_ns());
  out.started = at(x.started_at_ns());
  if (x.has_exit())
    out.exit = from_bus(x.exit());
  out.execs = x.execs();
  out.runtime = x.runtime();
  out.stuck = x.stuck();
  for (const auto& u : x.waiting().unmet())
    out.waits_for.push_back(u.condition());
  out.log_dropped = x.log_dropped();
  out.health = x.health();
  out.ready = x.ready();
  out.said = x.said();
  if (x.has_restart())
    out.restart = from_bus(x.restart());
  return out;
}

process_summary from_bus(const v1::Process& x) {
  process_summary out;
  out.id = x.id();
  out.pid = x.pid();
  out.state = x.state();
  if (x.has_exit())
    out.exit = from_bus(x.exit());
  out.stdin_open = x.stdin_open();
  out.terminal = x.terminal();
  out.started = at(x.started_at_ns());
  out.terminal_size = {x.terminal_size().width(), x.terminal_size().height()};
  const auto& log = x.log();
  out.log = {log.stdout_bytes(), log.stderr_bytes(), log.stdout_dropped(), log.stderr_dropped(),
             log.file()};
  out.run = x.run();
  out.io_open = x.io_open();
  out.cgroup = x.cgroup();
  return out;
}

exec_result from_bus(const v1::ExecSyncReply& x) {
  const auto ends = [](const v1::Output& o) {
    return stream_ends{.head = o.head(),
                       .tail = o.tail(),
                       .total_bytes = o.total_bytes(),
                       .omitted_bytes = o.omitted_bytes()};
  };
  return {.process = x.process(),
          .pid = x.pid(),
          .instance = x.instance(),
          .exit = from_bus(x.exit()),
          .out = ends(x.stdout()),
          .err = ends(x.stderr())};
}

container_detail from_bus(const v1::ContainerDetail& x) {
  container_detail out;
  out.summary = from_bus(x.summary());
  for (const auto& p : x.processes()) {
    auto& to = out.processes.emplace_back(from_bus(p));
    to.terminal = p.id() == "init" ? x.spec().terminal() : p.spec().terminal();
  }
  out.bundle = x.bundle();
  out.cgroup = x.cgroup();
  out.log_dir = x.log_dir();
  out.rootfs = x.rootfs();
  out.config_json = x.config_json();
  out.message = x.message();
  if (x.has_health())
    out.health = from_bus(x.health());
  for (const auto& p : x.pressure())
    out.pressure.push_back(from_bus(p));
  if (x.has_oom())
    out.oom = oom_report{.kills = x.oom().kills(),
                         .level = x.oom().level(),
                         .victim = x.oom().victim(),
                         .last = at(x.oom().at_ns())};
  return out;
}

usage_report from_bus(const v1::Stats& x) {
  usage_report out;
  out.ref = {x.id(), x.namespace_()};
  out.read = at(x.read_at_ns());
  out.cpu_usage_ns = x.cpu_usage_ns();
  out.cpu_user_ns = x.cpu_user_ns();
  out.cpu_system_ns = x.cpu_system_ns();
  out.throttled_periods = x.throttled_periods();
  out.throttled_ns = x.throttled_ns();
  out.memory_bytes = x.memory_bytes();
  out.memory_limit_bytes = x.memory_limit_bytes();
  out.memory_peak_bytes = x.memory_peak_bytes();
  out.memory_working_set_bytes = x.memory_working_set_bytes();
  out.swap_bytes = x.swap_bytes();
  out.pids = x.pids();
  out.pids_limit = x.pids_limit();
  out.io_read_bytes = x.io_read_bytes();
  out.io_write_bytes = x.io_write_bytes();
  out.oom_kills = x.oom_kills();
  out.raw = map_of(x.raw());
  out.psi = map_of(x.psi());
  return out;
}

host_process from_bus(const v1::TopProcess& x) {
  return {.pid = x.pid(), .ppid = x.ppid(), .command = x.command(), .process = x.process(),
          .state = x.state(), .cpu_ns = x.cpu_ns(), .rss_bytes = x.rss_bytes()};
}

version_report from_bus(const v1::VersionReply& x) {
  return {.gantry = x.gantry(), .api = x.api(), .runtime = x.runtime(),
          .runtime_version = x.runtime_version(), .kernel = x.kernel(), .cgroup = x.cgroup()};
}

supervisor_report from_bus(const v1::InfoReply& x) {
  supervisor_report out;
  out.pid = x.pid();
  out.keeper_pid = x.keeper_pid();
  out.keeper_state = x.keeper_state();
  out.generation = x.generation();
  out.cursor = {x.epoch(), x.seq()};
  out.started = at(x.started_at_ns());
  out.turns = x.turns();
  out.slow_turns = x.slow_turns();
  out.longest_turn_ns = x.longest_turn_ns();
  out.fds = x.fds();
  out.fd_limit = x.fd_limit();
  out.containers = x.containers();
  out.running = x.running();
  out.arena_blocks_used = x.arena_blocks_used();
  out.arena_blocks = x.arena_blocks();
  out.journal_pending_bytes = x.journal_pending_bytes();
  out.journal_disk_bytes = x.journal_disk_bytes();
  out.journal_disk_full = x.journal_disk_full();
  out.rss_bytes = x.rss_bytes();
  out.state_dir = x.state_dir();
  out.root_dir = x.root_dir();
  out.cgroup_driver = x.cgroup_driver();
  out.cgroup_parent = x.cgroup_parent();
  return out;
}

container_list from_bus(const v1::ListReply& x) {
  container_list out;
  for (const auto& c : x.containers())
    out.containers.push_back(from_bus(c));
  out.cursor = {x.cursor().epoch(), x.cursor().seq()};
  return out;
}

checkpoint_summary from_bus(const v1::Checkpoint& x) {
  return {.name = x.name(),
          .dir = x.dir(),
          .created = at(x.created_at_ns()),
          .run = x.run(),
          .left_running = x.left_running(),
          .tcp_established = x.tcp_established(),
          .file_locks = x.file_locks(),
          .external_unix = x.external_unix(),
          .foreign_dir = x.foreign_dir()};
}

disk_report from_bus(const v1::DiskUseReply& x) {
  disk_report out;
  out.journal_bytes = x.journal_bytes();
  out.journal_files = x.journal_files();
  out.checkpoint_bytes = x.checkpoint_bytes();
  out.checkpoints = x.checkpoints();
  for (const auto& c : x.containers())
    out.containers.push_back({.ref = {c.id(), c.namespace_()},
                              .log_bytes = c.log_bytes(),
                              .log_files = c.log_files(),
                              .bundle_bytes = c.bundle_bytes()});
  return out;
}

event from_bus(const v1::Event& x) {
  event out;
  out.seq = x.seq();
  out.epoch = x.epoch();
  out.time = at(x.time_ns());
  out.type = x.type();
  out.ref = {x.container(), x.namespace_()};
  out.instance = x.instance();
  out.run = x.run();
  out.process = x.process();
  out.pid = x.pid();
  out.cause = x.cause();
  if (x.has_exit())
    out.exit = from_bus(x.exit());
  out.message = x.message();
  out.details = map_of(x.details());
  out.labels = map_of(x.labels());
  return out;
}

} // namespace library

} // namespace gantry
