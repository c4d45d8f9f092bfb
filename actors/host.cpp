#include "actors/host.hpp"

#include <caf/all.hpp>
#include <csignal>
#include <set>
#include <sys/wait.h>

#include "actors/hook_run.hpp"
#include "actors/recorder.hpp"
#include "actors/stdio.hpp"
#include "actors/supervisor.hpp"
#include "actors/terminator.hpp"
#include "io/log.hpp"
#include "io/log_state.hpp"
#include "runtime/bundle.hpp"
#include "runtime/probe_tls.hpp"

namespace gantry::actors {

namespace {

constexpr auto end_patience = std::chrono::seconds(5);

/// The request that an intent under way answers, by the state that it left.
std::string_view method_of(v1::State state) {
  switch (state) {
    case v1::CREATING: return "Create";
    case v1::STARTING:
    case v1::WAITING: return "Start";
    case v1::PAUSING: return "Pause";
    case v1::CHECKPOINTING: return "Checkpoint";
    case v1::STOPPING: return "Stop";
    case v1::DELETING: return "Remove";
    default: return {};
  }
}

std::string read_boot_id(io::kernel& k) {
  std::string out;
  k.read_small("/proc/sys/kernel/random/boot_id", out);
  while (!out.empty() && out.back() == '\n')
    out.pop_back();
  return out;
}

/// The blocks and the stage: it finishes what an earlier life was about to read.
std::unique_ptr<io::block_pool> make_blocks(io::kernel& k, const io::arena& a,
                                            std::vector<io::shelf_entry>& shelf) {
  auto out = std::make_unique<io::block_pool>(a);
  for (auto& e : shelf)
    if (e.key.kind == io::shelf_kind::stage && e.fds.size() == 2)
      out->the_stage().take(k, a, {std::move(e.fds[0]), std::move(e.fds[1])});
  return out;
}

} // namespace

supervisor_host::supervisor_host(io::loop& l, io::shelf& keeper,
                                 const runtime::cgroup_host& cgroups)
  : loop_(l), keeper_(keeper), cgroups_(cgroups) {}

supervisor_host::~supervisor_host() {
  GANTRY_CHECK(ended_ || !system_);
  if (services_)
    for (auto& [serial, stop] : services_->forwards)
      stop();
  engine_.reset(); // Its waiting commands hold actors, which must not outlive their system.
}

result<std::unique_ptr<supervisor_host>>
supervisor_host::make(io::loop& l, io::shelf& keeper, const runtime::cgroup_host& cgroups,
                      supervisor_options options, runtime::engine_policy policy) {
  std::unique_ptr<supervisor_host> out{new supervisor_host(l, keeper, cgroups)};
  runtime::prepare_tls();
  if (auto done = out->recover(std::move(options), policy); !done)
    return std::move(done).why();
  return out;
}

result<void> supervisor_host::make_directories(const supervisor_options& o) {
  auto& sys = loop_.sys();
  for (const auto& dir : {o.state_dir, o.state_dir + "/bundles", o.state_dir + "/runtime",
                          o.root_dir, o.root_dir + "/journal", o.root_dir + "/logs",
                          o.root_dir + "/checkpoints"})
    if (const auto rc = sys.mkdir(dir, 0700); rc < 0 && rc != -EEXIST)
      return from_errno(-rc, "make the directory", dir);
  return {};
}

result<void> supervisor_host::take_shelf() {
  auto entries = keeper_.list();
  if (!entries)
    return std::move(entries).why();
  shelf_ = std::move(*entries);
  return {};
}

result<void> supervisor_host::recover(supervisor_options options, runtime::engine_policy policy) {
  auto& sys = loop_.sys();
  if (auto made = make_directories(options); !made)
    return made;
  if (auto taken = take_shelf(); !taken)
    return taken;
  boot_id_ = read_boot_id(sys);
  auto world = std::make_unique<runtime::world>();
  auto* w = world.get();
  auto file = runtime::journal_file::open(
    loop_, keeper_.memory(), options.root_dir + "/journal", boot_id_, {},
    [w](journal::Snapshot s) { w->load(s); }, [w](const journal::Record& r) { w->apply(r); },
    report_);
  if (!file)
    return std::move(file).why();
  first_start_ = (*file)->last_seq() == 0;
  ledger_ = std::make_unique<runtime::ledger>(loop_, std::move(*file), std::move(world));
  blocks_ = make_blocks(sys, keeper_.memory(), shelf_);
  reaper_ = std::make_unique<io::reaper>(loop_, keeper_);
  engine_ = runtime::make_oci_engine(
    loop_, *reaper_, options.state_dir + "/runtime", policy, [this](const std::string& id) {
      const auto dot = id.find('.'); // A namespace has none.
      return services_->cgroup_place({id.substr(0, dot), id.substr(dot + 1)});
    });
  services_.reset(new services{.loop = loop_,
                               .keeper = keeper_,
                               .reaper = *reaper_,
                               .blocks = *blocks_,
                               .ledger = *ledger_,
                               .engine = *engine_,
                               .cgroups = cgroups_,
                               .packer = {loop_, options.packer}, // NOLINT(bugprone-use-after-move)
                               .options = std::move(options),
                               .logs = {},
                               .outputs = {},
                               .lingering = {},
                               .holds = {},
                               .pumps = {},
                               .forwards = {},
                               .shelved = {},
                               .shelved_stdin = {},
                               .shelved_consoles = {},
                               .shelved_fifos = {},
                               .orphans = {},
                               .stuck = {},
                               .had_keeper = keeper_.news_fd() >= 0,
                               .started_at_ns = sys.realtime().count(),
                               .own_log_dropped = {},
                               .bus_socket = {},
                               .fds_socket = {},
                               .on_request = {},
                               .actors = {},
                               .supervisor = {},
                               .readers_return_until = {},
                               // Unique in this boot: an earlier life's command keeps its own.
                               .next_op = (ledger_->file().last_seq() + 1) << 16});
  services_->exec_probes.limit(services_->options.exec_probes);
  if (!first_start_)
    services_->readers_return_until = loop_.now() + std::chrono::seconds(1);
  for (auto& o : runtime::find_orphans(sys, services_->options.state_dir + "/runtime"))
    services_->orphans.emplace(o.op, o);
  end_idle_orphans();
  clear_leftovers();
  reaper_->start();
  say_started();
  keeper_.on_lost([this] { on_keeper_lost(); });
  spawn_actors();
  return {};
}

/// A command of an earlier life that no intent waits for (an update, a delete that is about to
/// be done again) may hang without end, and nobody else would end it.
void supervisor_host::end_idle_orphans() {
  std::set<uint64_t> awaited;
  for (const auto& [name, c] : ledger_->now().all()) {
    awaited.insert(c->op);
    for (const auto& p : c->processes)
      awaited.insert(p.op);
  }
  auto& sys = loop_.sys();
  std::erase_if(services_->orphans, [&](const auto& entry) {
    const auto& o = entry.second;
    if (awaited.contains(o.op))
      return false;
    const io::fd pidfd{sys, sys.pidfd_open(o.pid)};
    if (pidfd && sys.start_ticks(o.pid) == int64_t(o.start_ticks))
      sys.pidfd_signal(pidfd.get(), SIGKILL);
    return true;
  });
}

void supervisor_host::say_started() {
  for (const auto& note : report_.notes)
    io::log_warn("journal: {}", note);
  if (report_.cut_bytes > 0)
    io::log_warn("journal: a torn tail of {} bytes was cut off at {}", report_.cut_bytes,
                 report_.cut_where);
  auto gap = [this](uint64_t from, uint64_t to, std::string reason) {
    journal::Record r;
    r.mutable_gap()->set_from_seq(from);
    r.mutable_gap()->set_to_seq(to);
    r.mutable_gap()->set_reason(std::move(reason));
    ledger_->record(r);
  };
  if (report_.new_epoch && !first_start_)
    gap(0, 0, report_.lost_arena ? "the keeper was lost: the newest records may be missing"
                                 : "the host has booted");
  if (report_.missing_from != 0)
    gap(report_.missing_from, report_.missing_to, "the journal was repaired");
  journal::Record r;
  auto* s = r.mutable_supervisor_started();
  s->set_version(services_->options.version);
  s->set_boot_id(boot_id_);
  const auto memory = keeper_.memory();
  const auto status = memory ? memory.header().last_status.load() : -1;
  s->set_generation(memory ? memory.header().generation.load() : 0);
  if (status != -1 && WIFSIGNALED(status))
    s->set_previous_signal(WTERMSIG(status));
  if (status != -1 && WIFEXITED(status))
    s->set_previous_code(WEXITSTATUS(status));
  s->set_cause(first_start_          ? "first"
               : report_.new_epoch   ? "boot"
               : status > 0          ? "crash"
                                     : "start");
  ledger_->record(r);
  io::log_info("gantryd {} serves epoch {} from record {}, cause={}, {} containers known",
               services_->options.version, ledger_->file().epoch(), ledger_->file().last_seq(),
               s->cause(), ledger_->now().all().size());
}

void supervisor_host::spawn_actors() {
  config_ = std::make_unique<io::loop_config>(loop_);
  system_ = std::make_unique<caf::actor_system>(*config_);
  supervisor_ = system_->spawn(supervisor, services_.get());
  services_->supervisor = caf::actor_cast<caf::strong_actor_ptr>(supervisor_);
  recorder_ = system_->spawn(recorder, services_.get());
  gate_ = std::make_unique<gate>(*system_, *services_, supervisor_);
  expect_intents();
  caf::anon_send(supervisor_, atom::adopt::value);
}

void supervisor_host::expect_intents() {
  for (const auto& [name, c] : ledger_->now().all()) {
    const auto fresh = c->state == v1::CREATING && c->run > 1;
    // With a terminal, or after others, a create that also starts does so in two steps.
    const auto made = c->start_wanted && (c->state == v1::CREATED || c->state == v1::STARTING
                                          || c->state == v1::WAITING);
    const auto method = fresh  ? "Start"
                        : made ? (c->run > 1 ? "Start" : "Create")
                               : method_of(c->state);
    if (!method.empty())
      gate_->expect(c->intent_request, std::string{method});
    for (const auto& p : c->processes)
      if (p.phase == runtime::process_view::phase_t::adding && p.id != runtime::init_id)
        gate_->expect(p.request_id, "Exec");
  }
}

void supervisor_host::on_keeper_lost() {
  io::log_error("the keeper is gone: containers go on, but would not survive this process; "
                "restart gantryd when that is convenient");
  journal::Record r;
  r.mutable_keeper_lost();
  ledger_->record(r);
}

void supervisor_host::shutdown(bool stop_containers, std::string cause, std::function<void()> f) {
  going_away();
  journal::Record r;
  r.mutable_supervisor_stopping()->set_leaves_running(!stop_containers);
  r.mutable_supervisor_stopping()->set_cause(std::move(cause));
  ledger_->record(r);
  auto end = system_->spawn(terminator, services_.get(), supervisor_, recorder_);
  auto done = [this, f = std::move(f)] {
    gate_->close();
    services_->lingering.clear();
    leave_hooks(*services_);
    services_->supervisor = nullptr;
    supervisor_ = nullptr;
    recorder_ = nullptr;
    ended_ = true;
    ledger_->stop(f);
  };
  // The answer needs an actor to receive it.
  system_->spawn([end, stop_containers, done](caf::event_based_actor* self) {
    self->request(end, caf::infinite, atom::shutdown::value, stop_containers)
      .then([self, done](atom::shutdown) {
        done();
        self->quit();
      });
  });
}

void supervisor_host::abandon() {
  ended_ = true;
  gate_->close();
  services_->supervisor = nullptr;
  const auto living = services_->actors;
  for (const auto& [id, address] : living)
    if (auto actor = caf::actor_cast<caf::actor>(address))
      caf::anon_send_exit(actor, caf::exit_reason::kill);
  caf::anon_send_exit(supervisor_, caf::exit_reason::kill);
  caf::anon_send_exit(recorder_, caf::exit_reason::kill);
  supervisor_ = nullptr;
  recorder_ = nullptr;
}

} // namespace gantry::actors
