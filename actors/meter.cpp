#include "actors/meter.hpp"

#include <ctime>
#include <unistd.h>
#include <unordered_map>

#include "io/log_state.hpp"
#include "runtime/health_messages.hpp"
#include "runtime/policy_messages.hpp"

namespace gantry::actors {

namespace {

constexpr const char* states[] = {"creating", "created",  "starting", "running",    "pausing",
                                  "paused",   "stopping", "stopped",  "restarting", "deleting",
                                  "dead",     "unknown",  "checkpointing", "waiting"};

/// Steps that are timed at once; more are only not timed.
constexpr size_t most_begun = 4096;

std::string state_name(v1::State s) {
  const auto at = size_t(s) - 1; // 0 is unspecified.
  return at < std::size(states) ? states[at] : "unknown";
}

const char* cause_of(const v1::Exit& x) {
  if (x.oom())
    return "oom";
  if (x.status_unknown())
    return "unknown";
  if (x.signal() != 0)
    return "signal";
  return x.exit_code() == 0 ? "success" : "error";
}

uint64_t resident_bytes(io::kernel& k) {
  std::string text;
  if (k.read_small("/proc/self/statm", text) < 0)
    return 0;
  const auto space = text.find(' ');
  return space == std::string::npos
           ? 0
           : std::strtoull(text.c_str() + space, nullptr, 10) * uint64_t(::sysconf(_SC_PAGESIZE));
}

/// The totals of every log that is being written, by process serial.
std::unordered_map<uint64_t, io::log_totals> living_logs(const io::arena& memory) {
  std::unordered_map<uint64_t, io::log_totals> out;
  if (!memory)
    return out;
  for (const auto& slot : memory.logs().first(io::log_state::slots_used(memory)))
    if (const auto serial = slot.serial.load(); serial != 0)
      io::fill_totals(io::log_state::position_of(slot), out[serial]);
  return out;
}

uint64_t own_cpu_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

} // namespace

meter::meter(services& host) : host_(host) {
  for (const auto* cause : {"success", "error", "signal", "oom", "unknown"})
    so_far_.exits[cause] = 0;
  for (const auto* cause :
       {"success", "error", "signal", "oom", "unknown", "unhealthy", "overtime"})
    so_far_.policy_restarts[cause] = 0;
  for (const auto* level : {"container", "host", "inferred"})
    so_far_.ooms[level] = 0;
  for (const auto* what : {"create", "start", "exec"})
    so_far_.failures[what] = 0;
  records_ = host_.ledger.on_record([this](const journal::Record& r) { count(r); });
  host_.loop.add_hook(*this);
}

meter::~meter() { host_.loop.remove_hook(*this); }

void meter::run_some() {
  so_far_.turn_time.add((host_.loop.sys().monotonic() - host_.loop.now()).count());
}

meter::step meter::step_of(const journal::Record& r, const std::string& what) {
  return {r.namespace_(), r.container(), what == "exec" ? r.process() : "", what};
}

void meter::begin(const journal::Record& r, const std::string& what) {
  if (begun_.size() < most_begun)
    begun_[step_of(r, what)] = host_.loop.sys().monotonic().count();
}

void meter::end(const journal::Record& r, const std::string& what) {
  auto at = begun_.find(step_of(r, what));
  if (at == begun_.end())
    return;
  so_far_.step_time[what].add(host_.loop.sys().monotonic().count() - at->second);
  begun_.erase(at);
}

void meter::count(const journal::Record& r) {
  using body = journal::Record;
  if (runtime::is_probe_process(r.process()))
    return; // No exec of a client's.
  switch (r.body_case()) {
    case body::kCreating: begin(r, "create"); break;
    case body::kCreated: end(r, "create"); break;
    case body::kStarting: begin(r, "start"); break;
    case body::kStarted:
      end(r, "start");
      ++so_far_.starts;
      so_far_.restarts += r.run() > 1;
      break;
    case body::kExecAdding: begin(r, "exec"); break;
    case body::kExecStarted:
      end(r, "exec");
      ++so_far_.execs;
      break;
    case body::kStopping: begin(r, "stop"); break;
    case body::kPausing: begin(r, "pause"); break;
    case body::kPaused: end(r, "pause"); break;
    case body::kDeleting: begin(r, "delete"); break;
    case body::kDeleted:
      end(r, "delete");
      forget(r);
      ++so_far_.deletes;
      break;
    case body::kExited: count_exit(r); break;
    case body::kRestartScheduled: count_restart(r); break;
    case body::kOom: ++so_far_.ooms[r.oom().level()]; break;
    case body::kCreateFailed: fail(r, "create"); break;
    case body::kStartFailed: fail(r, "start"); break;
    case body::kExecFailed: fail(r, "exec"); break;
    default: break;
  }
}

void meter::fail(const journal::Record& r, const std::string& what) {
  end(r, what);
  ++so_far_.failures[what];
}

/// Steps of a container that has gone have no outcome any more.
void meter::forget(const journal::Record& r) {
  std::erase_if(begun_, [&r](const auto& x) {
    return std::get<0>(x.first) == r.namespace_() && std::get<1>(x.first) == r.container();
  });
}

void meter::count_exit(const journal::Record& r) {
  const auto& x = r.exited().exit();
  if (r.process() == runtime::init_id)
    end(r, "stop");
  ++so_far_.exits[cause_of(x)];
  so_far_.stdout_bytes += x.stdout_bytes();
  so_far_.stderr_bytes += x.stderr_bytes();
  // Its log slot is still there: the process lets go of it later.
  const auto* c = host_.ledger.now().find({r.namespace_(), r.container()});
  const auto* p = c == nullptr ? nullptr : c->process(r.process());
  io::log_totals last;
  if (p != nullptr && host_.keeper.memory()
      && io::totals_in_arena(host_.keeper.memory(), p->serial, last))
    so_far_.dropped_bytes += last.dropped[0] + last.dropped[1];
  if (x.exited_at_ns() > 0)
    so_far_.settle_time.add(host_.loop.sys().realtime().count() - x.exited_at_ns());
}

/// What ended the run before is still known: the new one is not begun yet.
void meter::count_restart(const journal::Record& r) {
  const auto* c = host_.ledger.now().find({r.namespace_(), r.container()});
  const auto* init = c == nullptr ? nullptr : c->process(runtime::init_id);
  if (init == nullptr || !init->exit)
    return;
  const auto why = runtime::restart_state_of(*c);
  ++so_far_.policy_restarts[why.unhealthy()  ? "unhealthy"
                            : why.overtime() ? "overtime"
                            : why.oom()      ? "oom"
                                             : cause_of(*init->exit)];
}

figures meter::take(size_t most_containers) {
  auto out = so_far_;
  take_parts(out);
  take_containers(out, most_containers);
  return out;
}

void meter::take_parts(figures& out) {
  const auto memory = host_.keeper.memory();
  auto& file = host_.ledger.file();
  const auto& loop = host_.loop.stats();
  out.version = host_.options.version;
  out.started_at_ns = host_.started_at_ns;
  out.has_keeper = host_.had_keeper;
  out.keeper_alive = host_.had_keeper && host_.keeper.alive();
  if (memory) {
    out.generation = memory.header().generation.load();
    out.arena_blocks = memory.block_count();
    out.log_slots = memory.logs().size();
  }
  out.turns = loop.turns;
  out.slow_turns = loop.slow_turns;
  out.fds = open_fds(host_.loop.sys());
  out.fd_limit = host_.options.fd_limit;
  out.rss_bytes = resident_bytes(host_.loop.sys());
  out.cpu_ns = own_cpu_ns();
  out.arena_blocks_used = host_.blocks.used();
  out.journal_pending_bytes = file.pending_bytes();
  out.journal_disk_bytes = file.disk_bytes();
  out.journal_disk_full = file.disk_full();
  out.journal_records = file.last_seq();
  out.event_gaps = host_.ledger.gaps();
  out.own_lines_dropped = host_.own_log_dropped ? host_.own_log_dropped() : 0;
  const auto engine = host_.engine.stats();
  out.commands = engine.commands;
  out.command_ns = engine.wall_ns;
  out.commands_in_flight = engine.in_flight;
  out.commands_queued = engine.queued;
  out.commands_failed = engine.failed;
  out.commands_overdue = engine.timed_out;
}

void meter::take_containers(figures& out, size_t most) {
  for (const auto* s : states)
    out.by_state[s] = 0;
  for (const auto* s : {"starting", "healthy", "unhealthy"})
    out.by_health[s] = 0;
  const auto living = living_logs(host_.keeper.memory());
  out.log_slots_used = living.size();
  for (const auto& [name, c] : host_.ledger.now().all()) {
    ++out.by_state[state_name(c->state)];
    container_figures one{.ns = name.ns, .id = name.id, .oom_kills = c->oom_kills,
                          .restarts = c->run > 0 ? c->run - 1 : 0,
                          .health = runtime::health_of(*c)};
    if (!one.health.empty())
      ++out.by_health[one.health];
    for (const auto& p : c->processes) {
      if (p.exit) {
        one.stdout_bytes += p.exit->stdout_bytes();
        one.stderr_bytes += p.exit->stderr_bytes();
      } else if (auto log = living.find(p.serial); log != living.end()) {
        const auto& totals = log->second;
        one.stdout_bytes += totals.bytes[0];
        one.stderr_bytes += totals.bytes[1];
        one.dropped_bytes += totals.dropped[0] + totals.dropped[1];
        out.stdout_bytes += totals.bytes[0];
        out.stderr_bytes += totals.bytes[1];
        out.dropped_bytes += totals.dropped[0] + totals.dropped[1];
      }
    }
    if (out.each.size() < most)
      out.each.push_back(std::move(one));
    else
      ++out.left_out;
  }
}

} // namespace gantry::actors
