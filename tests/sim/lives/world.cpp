#include "tests/sim/lives/world.hpp"

#include <spdlog/spdlog.h>

namespace gantry::sim {

using namespace std::chrono_literals;

world::world(machine_options o) : host(o), oci(install_runtimes(host)) {
  if (!std::getenv("GANTRY_SIM_LOG"))
    spdlog::set_level(spdlog::level::off);
  install_basics(host);
  install_work(host);
  host.files.mkdirs("/images/root");
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

void world::kill() { here_->kernel.die(); }

void world::end_life() {
  if (!here_)
    return;
  if (here_->dead()) {
    ++kills;
    if (sup_)
      sup_->abandon();
  } else if (sup_) {
    bool rest = false;
    sup_->shutdown(false, "test", [&] { rest = true; });
    if (!here_->until([&] { return rest; }, 5min) && !here_->dead())
      why = "the supervisor did not come to rest";
    if (here_->dead()) { // Killed on the way down.
      ++kills;
      sup_->abandon();
    }
  }
  // The actors take their leave; requests on descriptors that stay open (the keeper's news)
  // end with the objects that made them.
  for (int idle = 0; here_->dead() && idle < 3;)
    idle = here_->loop.turn(true) ? 0 : idle + 1;
  sup_.reset();
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

std::string world::state() {
  auto s = shared().ledger.now().save();
  s.clear_seq();
  s.clear_epoch();
  s.clear_boot_id();
  return s.DebugString();
}

} // namespace gantry::sim
