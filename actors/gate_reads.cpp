#include <algorithm>
#include <cctype>
#include <sys/utsname.h>
#include <unistd.h>

#include "actors/evidence.hpp"
#include "actors/gate.hpp"
#include "runtime/bundle.hpp"
#include "runtime/health_messages.hpp"

// Questions: answered from the world and from small files, never by a container's actor, so
// that a stuck container delays nobody.

namespace gantry::actors {

namespace {

/// A step that takes longer than this is worth a word; the runtime's own deadlines end it later.
constexpr io::nanoseconds slow_step = std::chrono::seconds(5);

/// A step under way that takes long is told, with its name and its time.
std::string stuck_in(io::kernel& k, const runtime::container_view& c) {
  if (c.intent_at_ns == 0 || c.state == v1::PAUSED || c.state == v1::WAITING)
    return {};
  auto allowed = slow_step;
  if (c.state == v1::STOPPING)
    allowed += io::nanoseconds{c.stop_timeout_ns};
  const io::nanoseconds took{k.realtime().count() - c.intent_at_ns};
  if (took < allowed)
    return {};
  auto word = v1::State_Name(c.state);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char x) { return char(std::tolower(x)); });
  const auto s = std::chrono::duration_cast<std::chrono::seconds>(took).count();
  return "stuck in " + word + " for " + std::to_string(s) + " s";
}

/// What the arena says of a log while its process lives, and the exit afterwards.
v1::LogState log_of(services& host, const runtime::process_view& p) {
  v1::LogState out;
  io::log_totals now;
  if (p.exit) {
    out.set_stdout_bytes(p.exit->stdout_bytes());
    out.set_stderr_bytes(p.exit->stderr_bytes());
    out.set_stdout_dropped(p.exit->stdout_dropped());
    out.set_stderr_dropped(p.exit->stderr_dropped());
  }
  if (p.output_closed) { // It outlived its process, and has ended since.
    out.set_stdout_bytes(p.output_bytes[0]);
    out.set_stderr_bytes(p.output_bytes[1]);
  }
  if (const auto at = host.pumps.find(p.serial); at != host.pumps.end())
    now = at->second->totals();
  else
    return out;
  out.set_stdout_bytes(now.bytes[0]);
  out.set_stderr_bytes(now.bytes[1]);
  out.set_stdout_dropped(now.dropped[0]);
  out.set_stderr_dropped(now.dropped[1]);
  out.set_file(now.file_seq);
  out.set_limited_ns(now.limited.count());
  return out;
}

v1::Container summary_of(services& host, const runtime::container_view& c) {
  auto out = host.ledger.now().summary(c);
  const auto at = host.stuck.find(c.name); // Who knows more about it than the time it takes.
  out.set_stuck(at != host.stuck.end() ? at->second : stuck_in(host.loop.sys(), c));
  if (const auto* p = c.init()) {
    const auto log = log_of(host, *p);
    out.set_log_dropped(log.stdout_dropped() + log.stderr_dropped());
    if (host.reaper.in_doubt({p->pid, p->start_ticks})) {
      out.set_state(v1::UNKNOWN);
      out.set_stuck("whether it lives cannot be told: no pidfd of its init could be opened "
                    "(tried again; gantry info shows the free descriptors)");
    }
  }
  return out;
}

/// One number of /proc/self/status, in KiB.
uint64_t status_kib(io::kernel& k, std::string_view field) {
  std::string text;
  if (k.read_small("/proc/self/status", text) < 0)
    return 0;
  const auto at = text.find(field);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + field.size(), nullptr, 10);
}

/// What it has said at its notify socket, also when it does not run any more.
v1::NotifyState notices_of(services& host, const runtime::container_view& c) {
  const auto now = host.loop.sys().monotonic().count();
  const auto clock = host.loop.sys().realtime().count() - now;
  if (const auto at = host.notices.find(c.init() != nullptr ? c.init()->serial : 0);
      at != host.notices.end())
    return runtime::notify_message_of(*at->second, clock);
  journal::HealthState kept;
  kept.ParseFromString(c.health);
  auto state = runtime::notify_state_of({}, kept.notify(), now);
  state.due_ns = 0;
  return runtime::notify_message_of(state, clock);
}

/// What its probes have said, also when it does not run any more.
void fill_health(services& host, const runtime::container_view& c, v1::ContainerDetail& out) {
  if (!c.has_health)
    return;
  const auto jitter = host.options.probe_jitter;
  const auto policy = runtime::health_policy_of(out.spec());
  if (policy) {
    auto state = runtime::health_state_of(c, *policy);
    runtime::spread_health(*policy, state, c.instance + c.run, jitter);
    *out.mutable_health() = runtime::health_message(*policy, state);
  }
  for (auto& one : known_evidence(c, host.loop.sys().realtime().count()))
    *out.mutable_health()->add_evidence() = std::move(one);
  if (out.spec().has_notify())
    *out.mutable_health()->mutable_notify() = notices_of(host, c);
}

/// The thresholds of pressure, as soon as they were tried.
void fill_pressure(const runtime::container_view& c, v1::ContainerDetail& out) {
  const auto& wanted = out.spec().pressure();
  for (size_t i = 0; i < c.pressure.size() && i < static_cast<size_t>(wanted.size()); ++i) {
    auto* x = out.add_pressure();
    (void)x->ParseFromString(c.pressure[i]);
    x->set_threshold(wanted[static_cast<int>(i)]);
  }
}

void fill_oom(const runtime::container_view& c, v1::ContainerDetail& out) {
  if (c.oom_kills == 0)
    return;
  out.mutable_oom()->set_kills(c.oom_kills);
  out.mutable_oom()->set_level(c.oom_level);
  out.mutable_oom()->set_victim(c.oom_victim);
  out.mutable_oom()->set_at_ns(c.oom_at_ns);
}

void fill_process(services& host, const runtime::container_view& c,
                  const runtime::process_view& p, v1::Process& x) {
  using ph = runtime::process_view::phase_t;
  static constexpr const char* words[] = {"adding", "created", "running", "running", "exited"};
  static_assert(size_t(ph::exited) == 4);
  x.set_id(p.id);
  x.set_pid(p.pid);
  x.set_state(words[size_t(p.phase)]);
  if (!p.spec.empty())
    x.mutable_spec()->ParseFromString(p.spec);
  if (p.exit)
    *x.mutable_exit() = *p.exit;
  x.set_stdin_open(p.with_stdin && !p.stdin_closed && p.phase != ph::exited);
  x.set_started_at_ns(p.started_at_ns);
  x.set_serial(p.serial);
  x.set_terminal(p.terminal);
  if (p.width != 0) {
    x.mutable_terminal_size()->set_width(p.width);
    x.mutable_terminal_size()->set_height(p.height);
  }
  x.set_run(p.run);
  x.set_io_open(p.io_open());
  *x.mutable_log() = log_of(host, p);
  if (const auto group = host.exec_group(c.name, p.serial);
      p.id != runtime::init_id && group.exists())
    x.set_cgroup(group.path());
}

} // namespace

result<const runtime::container_view*> gate::look_up(const v1::Ref& ref) const {
  auto name = runtime::checked_name(ref);
  if (!name)
    return std::move(name).why();
  if (const auto* c = host_.ledger.now().find(*name))
    return c;
  return error{ec::not_found,
               "no such container \"" + name->id + "\" in namespace \"" + name->ns + "\"",
               "gantry ps -a lists them"};
}

std::string gate::named_namespace(const std::string& asked) {
  return asked.empty() ? "default" : asked;
}

void gate::call(const v1::By&, v1::VersionRequest, answer<v1::VersionReply> f) {
  v1::VersionReply out;
  out.set_gantry(host_.options.version);
  out.set_api("v1");
  out.set_runtime(host_.options.runtime);
  utsname names{};
  ::uname(&names);
  out.set_kernel(names.release);
  out.set_cgroup(std::string{runtime::name_of(host_.cgroups.mode)});
  out.set_journal_format(runtime::journal_format);
  out.set_keeper_protocol(io::arena_version);
  out.set_io("io_uring");
  host_.engine.version(host_.options.runtime, [out, f](result<std::string> v) mutable {
    out.set_runtime_version(v ? *v : v.why().message);
    f(out);
  });
}

void gate::call(const v1::By&, v1::InfoRequest, answer<v1::InfoReply> f) {
  auto& sys = host_.loop.sys();
  auto& file = host_.ledger.file();
  v1::InfoReply out;
  const auto& loop = host_.loop.stats();
  const auto memory = host_.keeper.memory();
  out.set_pid(::getpid());
  const bool kept = host_.had_keeper && host_.keeper.alive();
  out.set_keeper_state(kept ? "alive" : host_.had_keeper ? "lost" : "none");
  if (memory) {
    out.set_keeper_pid(kept ? memory.header().keeper_pid.load() : 0);
    out.set_generation(memory.header().generation.load());
    out.set_arena_blocks(uint64_t(memory.block_count()));
    out.set_log_slots(uint32_t(memory.logs().size()));
  }
  out.set_epoch(file.epoch());
  out.set_seq(file.last_seq());
  out.set_started_at_ns(host_.started_at_ns);
  out.set_turns(loop.turns);
  out.set_slow_turns(loop.slow_turns);
  out.set_longest_turn_ns(loop.longest_turn_ns);
  out.set_slow_part(loop.slow_part);
  out.set_slow_part_ns(loop.slow_part_ns);
  out.set_cgroup_driver(host_.options.systemd_cgroups ? "systemd" : "cgroupfs");
  out.set_cgroup_parent(host_.options.cgroup_parent);
  out.set_fds(open_fds(sys));
  out.set_fd_limit(host_.options.fd_limit);
  uint32_t running = 0;
  uint32_t slots = 0;
  for (const auto& [name, c] : host_.ledger.now().all()) {
    running += c->state == v1::RUNNING || c->state == v1::PAUSED;
    for (const auto& p : c->processes)
      slots += p.phase != runtime::process_view::phase_t::exited || p.io_open();
  }
  out.set_containers(uint32_t(host_.ledger.now().all().size()));
  out.set_running(running);
  out.set_log_slots_used(slots);
  out.set_arena_blocks_used(host_.blocks.used());
  out.set_journal_pending_bytes(file.pending_bytes());
  out.set_journal_disk_bytes(file.disk_bytes());
  out.set_journal_disk_full(file.disk_full());
  out.set_log_lines_dropped(host_.own_log_dropped ? host_.own_log_dropped() : 0);
  const auto engine = host_.engine.stats();
  out.set_runtime_in_flight(uint32_t(engine.in_flight));
  out.set_runtime_queued(uint32_t(engine.queued));
  out.set_state_dir(host_.options.state_dir);
  out.set_root_dir(host_.options.root_dir);
  out.set_rss_bytes(status_kib(sys, "VmRSS:") * 1024);
  out.set_events_gaps(host_.ledger.gaps());
  uint64_t dropped = 0;
  for (const auto& [serial, pump] : host_.pumps) {
    const auto totals = pump->totals();
    dropped += totals.dropped[0] + totals.dropped[1];
  }
  out.set_stream_bytes_dropped(dropped);
  out.set_fd_tickets_waiting(uint32_t(tickets_.waiting()));
  out.set_fd_tickets_refused(tickets_.refused());
  later<v1::InfoReply>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::ListRequest req, answer<v1::ListReply> f) {
  v1::ListReply out;
  const auto ns = named_namespace(req.namespace_());
  if (ns != "*") {
    v1::Ref any;
    any.set_namespace_(ns);
    any.set_id("any");
    if (auto checked = runtime::checked_name(any); !checked) {
      later<v1::ListReply>(std::move(f), checked.why());
      return;
    }
  }
  const bool all = req.all() || !req.filter().states().empty()
                   || !req.filter().exit_codes().empty();
  for (const auto& [name, c] : host_.ledger.now().all()) {
    if (ns != "*" && name.ns != ns)
      continue;
    if (!all && (c->state == v1::STOPPED || c->state == v1::CREATED || c->state == v1::DEAD))
      continue;
    auto summary = summary_of(host_, *c);
    if (runtime::passes(req.filter(), summary))
      *out.add_containers() = std::move(summary);
  }
  out.mutable_cursor()->set_epoch(host_.ledger.file().epoch());
  out.mutable_cursor()->set_seq(host_.ledger.file().last_seq());
  later<v1::ListReply>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::ListCheckpointsRequest req,
                answer<v1::ListCheckpointsReply> f) {
  auto found = look_up(req.ref());
  if (!found) {
    later<v1::ListCheckpointsReply>(std::move(f), found.why());
    return;
  }
  v1::ListCheckpointsReply out;
  for (const auto& text : (*found)->checkpoints)
    (void)out.add_checkpoints()->ParseFromString(text);
  later<v1::ListCheckpointsReply>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::InspectRequest req, answer<v1::ContainerDetail> f) {
  auto found = look_up(req.ref());
  if (!found) {
    later<v1::ContainerDetail>(std::move(f), found.why());
    return;
  }
  const auto& c = **found;
  v1::ContainerDetail out;
  *out.mutable_summary() = summary_of(host_, c);
  out.mutable_spec()->ParseFromString(c.spec);
  for (const auto& p : c.processes)
    if (!runtime::is_probe_process(p.id))
      fill_process(host_, c, p, *out.add_processes());
  fill_health(host_, c, out);
  fill_pressure(c, out);
  fill_oom(c, out);
  out.set_bundle(host_.bundle_dir(c.instance));
  out.set_cgroup(host_.cgroup_path(c.name));
  if (const auto* init = c.init())
    out.set_log_dir(host_.log_dir(init->serial));
  out.set_rootfs(out.spec().rootfs());
  std::string config;
  if (host_.loop.sys().read_small(out.bundle() + "/config.json", config, 4u << 20) >= 0)
    out.set_config_json(config);
  out.set_message(out.summary().stuck());
  later<v1::ContainerDetail>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::ListProcessesRequest req, answer<v1::ListProcessesReply> f) {
  auto found = look_up(req.ref());
  if (!found) {
    later<v1::ListProcessesReply>(std::move(f), found.why());
    return;
  }
  v1::ListProcessesReply out;
  for (const auto& p : (*found)->processes)
    if (!runtime::is_probe_process(p.id)
        && (req.all() || p.phase != runtime::process_view::phase_t::exited))
      fill_process(host_, **found, p, *out.add_processes());
  later<v1::ListProcessesReply>(std::move(f), std::move(out));
}

} // namespace gantry::actors
