#include "tests/sim/lives/world.hpp"

#include <iostream>
#include <spdlog/sinks/stdout_sinks.h>
#include <stdexcept>

#include "io/log.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

world::world(machine_options o) : host(o), oci(install_runtimes(host)) {
  if (std::getenv("GANTRY_SIM_LOG"))
    io::log_to(std::make_shared<spdlog::logger>(
      "", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  install_basics(host);
  install_work(host);
  host.files.mkdirs("/images/root");
  host.files.mkdirs("/images/bundle/rootfs");
  host.files.put("/images/bundle/config.json", R"({"ociVersion": "1.0.2",
    "process": {"args": ["work"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"}, "mounts": [],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}})");
  by_.set_uid(1000);
  by_.set_gid(1000);
  by_.set_pid(4242);
}

world::~world() {
  if (here_)
    end_life();
}

actors::supervisor_options world::options() {
  actors::supervisor_options o;
  o.state_dir = "/run/gantry";
  o.root_dir = "/var/lib/gantry";
  o.runtime = "/usr/sbin/runc";
  return o;
}

bool world::begin_life(uint64_t kill_at) {
  ++lives_lived;
  trace("life " + std::to_string(lives_lived) + " kill_at=" + std::to_string(kill_at));
  why.clear();
  here_ = std::make_unique<life>(host, kill_at);
  auto found = runtime::detect_cgroups(here_->kernel);
  if (!found) {
    why = found.why().text();
    return end_life(), false;
  }
  cgroups_ = std::make_unique<runtime::cgroup_host>(*std::move(found));
  auto made = actors::supervisor_host::make(here_->loop, here_->shelf, *cgroups_, options());
  if (!made) {
    why = made.why().text();
    return end_life(), false;
  }
  sup_ = *std::move(made);
  if (here_->dead())
    return end_life(), false;
  return true;
}

void world::trace(const std::string& what) const {
  static const bool wanted = std::getenv("GANTRY_SIM_TRACE") != nullptr;
  if (wanted)
    std::cerr << double(host.time.now().count()) / 1e6 << " ms: " << what << "\n";
}

void world::kill() { here_->kernel.die(); }

void world::end_life() {
  if (!here_)
    return;
  if (here_->dead()) {
    trace("killed");
    ++kills;
  }
  if (sup_) {
    // A dead one goes the same way: its kernel does nothing any more, and the arena is put
    // back afterwards, so that nothing of this is seen by the machine.
    bool rest = false;
    sup_->shutdown(false, "test", [&] { rest = true; });
    const bool was_dead = here_->dead();
    for (int turns = 0; !rest && turns < 200'000; ++turns) {
      if (while_it_ends && !was_dead)
        while_it_ends();
      here_->loop.turn(true);
    }
    if (!rest)
      throw std::runtime_error("the supervisor does not come to rest");
    kills += here_->dead() && !was_dead;
  }
  sup_.reset();
  // Whoever asked the kernel for something has taken it back.
  for (int turns = 0; !here_->dead() && here_->loop.in_flight() > 0; ++turns) {
    if (turns == 1000)
      throw std::runtime_error("something is in flight at rest");
    here_->loop.turn(false);
  }
  here_->bury();
  here_.reset();
  cgroups_.reset();
}

void world::alarm(nanoseconds span) {
  host.time.in(span, [this] {
    if (here_)
      here_->kernel.wake();
  });
}

void world::pass(nanoseconds span) {
  const auto end = host.time.now() + span;
  alarm(span);
  here_->until([&] { return host.time.now() >= end; }, span + 1s);
}

v1::Ref world::ref(const std::string& id) {
  v1::Ref r;
  r.set_id(id);
  return r;
}

v1::ContainerSpec world::spec(const std::vector<std::string>& args) {
  v1::ContainerSpec s;
  s.set_rootfs("/images/root");
  for (const auto& a : args)
    s.add_args(a);
  return s;
}

v1::ContainerSpec world::bundle_spec(const std::vector<std::string>& args) {
  auto s = spec(args);
  s.clear_rootfs();
  s.set_bundle("/images/bundle");
  return s;
}

std::vector<v1::Event> world::events() {
  std::vector<v1::Event> out;
  v1::FollowRequest req;
  req.mutable_since();
  req.mutable_filter()->set_namespace_("*");
  auto source = door().follow(req);
  if (!source)
    return out;
  for (bool more = true; more;) {
    bool answered = false;
    (*source)->next(1 << 20, [&](result<std::vector<v1::FollowItem>> r) {
      answered = true;
      more = r.ok() && !r->empty();
      if (r.ok())
        for (auto& item : *r)
          if (item.has_event())
            out.push_back(item.event());
    });
    if (!until([&] { return answered; }))
      break;
  }
  return out;
}

v1::ListReply world::list() {
  v1::ListRequest req;
  req.set_namespace_("*");
  req.set_all(true);
  auto r = must<v1::ListReply>(req);
  return r.ok() ? *r : v1::ListReply();
}

namespace {

journal::Snapshot lasting(const journal::Snapshot& all) {
  auto s = all;
  s.clear_seq();
  s.clear_epoch();
  s.clear_boot_id();
  return s;
}

} // namespace

std::string world::state(bool exits) {
  auto s = lasting(shared().ledger.now().save());
  if (!exits)
    s.clear_finished();
  return s.SerializeAsString();
}

std::string world::state_text() { return lasting(shared().ledger.now().save()).DebugString(); }

} // namespace gantry::sim
