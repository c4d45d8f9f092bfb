#include <sys/utsname.h>
#include <unistd.h>

#include "actors/gate.hpp"
#include "runtime/bundle.hpp"

// Questions: answered from the world and from small files, never by a container's actor, so
// that a stuck container delays nobody.

namespace gantry::actors {

namespace {

/// A container that was asked for, or why there is none.
result<const runtime::container_view*> look_up(services& host, const v1::Ref& ref) {
  auto name = runtime::checked_name(ref);
  if (!name)
    return std::move(name).why();
  if (const auto* c = host.ledger.now().find(*name))
    return c;
  return error{ec::not_found,
               "no such container \"" + name->id + "\" in namespace \"" + name->ns + "\"",
               "gantry ps -a lists them"};
}

v1::Container summary_of(services& host, const runtime::container_view& c) {
  auto out = host.ledger.now().summary(c);
  if (auto at = host.stuck.find(c.name); at != host.stuck.end())
    out.set_stuck(at->second);
  return out;
}

std::string namespace_of(const std::string& asked) { return asked.empty() ? "default" : asked; }

/// One number of /proc/self/status, in KiB.
uint64_t status_kib(io::kernel& k, std::string_view field) {
  std::string text;
  if (k.read_small("/proc/self/status", text) < 0)
    return 0;
  const auto at = text.find(field);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + field.size(), nullptr, 10);
}

/// Parent, state, CPU and memory of a process, from /proc/PID/stat.
void fill_from_stat(io::kernel& k, v1::TopProcess& p) {
  std::string text;
  const auto dir = "/proc/" + std::to_string(p.pid());
  if (k.read_small(dir + "/stat", text) >= 0)
    if (const auto paren = text.rfind(')'); paren != std::string::npos) {
      std::vector<std::string> fields;
      size_t at = paren + 2;
      while (at < text.size()) {
        const auto end = std::min(text.find(' ', at), text.size());
        fields.push_back(text.substr(at, end - at));
        at = end + 1;
      }
      if (fields.size() > 21) { // Field 3 (state) is the first behind the name; proc(5).
        p.set_state(fields[0]);
        p.set_ppid(std::atoi(fields[1].c_str()));
        const auto ticks = std::strtoull(fields[11].c_str(), nullptr, 10)
                           + std::strtoull(fields[12].c_str(), nullptr, 10);
        p.set_cpu_ns(ticks * 1'000'000'000 / uint64_t(::sysconf(_SC_CLK_TCK)));
        p.set_rss_bytes(std::strtoull(fields[21].c_str(), nullptr, 10)
                        * uint64_t(::sysconf(_SC_PAGESIZE)));
      }
    }
  std::string command;
  if (k.read_small(dir + "/cmdline", command) >= 0) {
    while (!command.empty() && command.back() == '\0')
      command.pop_back();
    std::replace(command.begin(), command.end(), '\0', ' ');
    p.set_command(command);
  }
}

} // namespace

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
  out.set_keeper_state(host_.keeper.alive() ? "alive" : host_.had_keeper ? "lost" : "none");
  if (memory) {
    out.set_keeper_pid(host_.keeper.alive() ? memory.header().keeper_pid.load() : 0);
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
  out.set_fds(open_fds(sys));
  out.set_fd_limit(host_.options.fd_limit);
  uint32_t running = 0;
  uint32_t slots = 0;
  for (const auto& [name, c] : host_.ledger.now().all()) {
    running += c->state == v1::RUNNING || c->state == v1::PAUSED;
    for (const auto& p : c->processes)
      slots += p.phase != runtime::process_view::phase_t::exited;
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
  later<v1::InfoReply>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::ListRequest req, answer<v1::ListReply> f) {
  v1::ListReply out;
  const auto ns = namespace_of(req.namespace_());
  if (ns != "*") {
    v1::Ref any;
    any.set_namespace_(ns);
    any.set_id("any");
    if (auto checked = runtime::checked_name(any); !checked) {
      later<v1::ListReply>(std::move(f), checked.why());
      return;
    }
  }
  for (const auto& [name, c] : host_.ledger.now().all()) {
    if (ns != "*" && name.ns != ns)
      continue;
    if (!req.all() && (c->state == v1::STOPPED || c->state == v1::CREATED))
      continue;
    *out.add_containers() = summary_of(host_, *c);
  }
  out.mutable_cursor()->set_epoch(host_.ledger.file().epoch());
  out.mutable_cursor()->set_seq(host_.ledger.file().last_seq());
  later<v1::ListReply>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::InspectRequest req, answer<v1::ContainerDetail> f) {
  auto found = look_up(host_, req.ref());
  if (!found) {
    later<v1::ContainerDetail>(std::move(f), found.why());
    return;
  }
  const auto& c = **found;
  v1::ContainerDetail out;
  *out.mutable_summary() = summary_of(host_, c);
  out.mutable_spec()->ParseFromString(c.spec);
  for (const auto& p : c.processes) {
    auto* x = out.add_processes();
    x->set_id(p.id);
    x->set_pid(p.pid);
    using ph = runtime::process_view::phase_t;
    static constexpr const char* words[] = {"adding", "created", "running", "running", "exited"};
    x->set_state(words[size_t(p.phase)]);
    static_assert(size_t(ph::exited) == 4);
    if (!p.spec.empty())
      x->mutable_spec()->ParseFromString(p.spec);
    if (p.exit)
      *x->mutable_exit() = *p.exit;
    x->set_stdin_open(p.with_stdin && !p.stdin_closed && p.phase != ph::exited);
    x->set_started_at_ns(p.started_at_ns);
    x->set_serial(p.serial);
  }
  out.set_bundle(host_.bundle_dir(c.instance));
  out.set_cgroup(host_.cgroup_path(c.name));
  if (const auto* init = c.init())
    out.set_log_dir(host_.log_dir(init->serial));
  out.set_rootfs(out.spec().rootfs());
  std::string config;
  if (host_.loop.sys().read_small(out.bundle() + "/config.json", config, 4u << 20) >= 0)
    out.set_config_json(config);
  if (auto at = host_.stuck.find(c.name); at != host_.stuck.end())
    out.set_message(at->second);
  later<v1::ContainerDetail>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::StatsRequest req, answer<v1::StatsReply> f) {
  std::vector<const runtime::container_view*> asked;
  if (!req.ref().id().empty()) {
    auto found = look_up(host_, req.ref());
    if (!found) {
      later<v1::StatsReply>(std::move(f), found.why());
      return;
    }
    asked.push_back(*found);
  } else {
    const auto ns = namespace_of(req.ref().namespace_());
    for (const auto& [name, c] : host_.ledger.now().all())
      if ((ns == "*" || name.ns == ns) && c->state != v1::STOPPED && c->state != v1::CREATING)
        asked.push_back(c.get());
  }
  v1::StatsReply out;
  for (const auto* c : asked) {
    const runtime::cgroup group{host_.loop.sys(), host_.cgroups, host_.cgroup_path(c->name)};
    auto stats = group.stats(req.raw());
    if (!stats && asked.size() == 1) {
      later<v1::StatsReply>(std::move(f), stats.why());
      return;
    }
    if (!stats)
      continue;
    stats->set_namespace_(c->name.ns);
    stats->set_id(c->name.id);
    *out.add_stats() = std::move(*stats);
  }
  later<v1::StatsReply>(std::move(f), std::move(out));
}

void gate::call(const v1::By&, v1::TopRequest req, answer<v1::TopReply> f) {
  auto found = look_up(host_, req.ref());
  if (!found) {
    later<v1::TopReply>(std::move(f), found.why());
    return;
  }
  const auto& c = **found;
  const runtime::cgroup group{host_.loop.sys(), host_.cgroups, host_.cgroup_path(c.name)};
  v1::TopReply out;
  for (auto pid : group.pids()) {
    auto* p = out.add_processes();
    p->set_pid(pid);
    for (const auto& ours : c.processes)
      if (ours.pid == pid && ours.phase != runtime::process_view::phase_t::exited)
        p->set_process(ours.id);
    fill_from_stat(host_.loop.sys(), *p);
  }
  later<v1::TopReply>(std::move(f), std::move(out));
}

} // namespace gantry::actors
