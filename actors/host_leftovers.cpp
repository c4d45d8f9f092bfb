#include <set>

#include "actors/hook_run.hpp"
#include "actors/host.hpp"
#include "actors/notify_socket.hpp"
#include "actors/stdio.hpp"
#include "io/launch.hpp"
#include "io/log.hpp"
#include "io/log_state.hpp"
#include "runtime/bundle.hpp"
#include "runtime/cgroup_driver.hpp"

// What an earlier life left and no record names: descriptors, log slots, sockets, bundles, logs,
// images and control groups.

namespace gantry::actors {

void supervisor_host::clear_leftovers() {
  std::set<uint64_t> serials;
  std::set<std::string> bundles;
  for (const auto& [name, c] : ledger_->now().all()) {
    bundles.insert(hex16(c->instance));
    for (const auto& p : c->processes)
      serials.insert(p.serial);
  }
  for (auto& e : shelf_)
    if (auto* place = services_->place_of(e.key.kind)) {
      if (serials.contains(e.key.serial))
        place->emplace(e.key.serial, std::move(e));
      else // Nobody's: its container is gone.
        drop_kind(*services_, e.key.kind, e.key.serial);
    } else if (e.key.kind == io::shelf_kind::listener || e.key.kind == io::shelf_handed) {
      listeners_.push_back(std::move(e));
    }
  shelf_.clear();
  if (const auto memory = keeper_.memory()) {
    const auto slots = memory.logs().first(io::log_state::slots_used(memory));
    for (const auto& slot : slots)
      if (const auto serial = slot.serial.load(); serial != 0 && !serials.contains(serial))
        io::discard_slot(memory, *blocks_, serial);
  }
  std::vector<std::string> names;
  if (loop_.sys().list(services_->options.state_dir + "/tty", names) >= 0)
    for (const auto& n : names) // A socket without its listener: nobody can say anything there.
      if (!services_->shelved_consoles.contains(std::strtoull(n.c_str(), nullptr, 16)))
        loop_.sys().unlink(services_->options.state_dir + "/tty/" + n);
  names.clear();
  if (loop_.sys().list(services_->options.state_dir + "/bundles", names) >= 0)
    for (const auto& n : names)
      if (!bundles.contains(n))
        runtime::remove_bundle(loop_, services_->options.state_dir + "/bundles/" + n, [] {});
  names.clear();
  if (loop_.sys().list(services_->options.root_dir + "/logs", names) >= 0)
    for (const auto& n : names)
      if (const auto serial = std::strtoull(n.c_str(), nullptr, 16);
          hex16(serial) == n && !serials.contains(serial))
        remove_logs(*services_, serial, [] {});
  sweep_notify_sockets(*services_, serials);
  clear_images();
  look_for_strangers();
}

/// Images of containers that are gone, and of checkpoints that never became whole.
void supervisor_host::clear_images() {
  const auto all = services_->options.root_dir + "/checkpoints";
  std::map<std::string, std::set<std::string>> known;
  for (const auto& [name, c] : ledger_->now().all()) {
    auto& mine = known[hex16(c->instance)];
    for (const auto& text : c->checkpoints)
      if (v1::Checkpoint x; x.ParseFromString(text))
        mine.insert(x.name());
    if (journal::Checkpointing x; x.ParseFromString(c->checkpointing))
      mine.insert(x.what().name()); // Its actor decides.
  }
  auto& sys = loop_.sys();
  std::vector<std::string> instances;
  if (sys.list(all, instances) < 0)
    return;
  for (const auto& instance : instances) {
    std::vector<std::string> names;
    if (sys.list(all + "/" + instance, names) < 0)
      continue;
    const auto dir = all + "/" + instance;
    const bool whole = !known.contains(instance);
    std::erase_if(names, [&](const auto& n) { return !whole && known[instance].contains(n); });
    remove_images(*services_, dir, std::move(names), whole, [] {});
  }
}

/// Scopes of ours without a record. Those that are empty systemd takes away.
void supervisor_host::look_for_scopes() {
  const auto& home = services_->options.cgroup_parent;
  const auto slice = runtime::slice_path(home);
  std::vector<std::string> names;
  if (loop_.sys().list(cgroups_.unified + slice, names) < 0)
    return;
  for (const auto& scope : names) {
    const auto name = runtime::container_of_scope(home, scope);
    const auto path = slice + "/" + scope;
    if (!name.id.empty() && ledger_->now().find(name) == nullptr
        && runtime::cgroup{loop_.sys(), cgroups_, path}.populated())
      io::log_warn("the cgroup {} has processes and no record of ours: left alone", path);
  }
}

void supervisor_host::look_for_strangers() {
  if (services_->options.systemd_cgroups)
    return look_for_scopes();
  auto& sys = loop_.sys();
  const auto& parent = services_->options.cgroup_parent;
  auto groups_in = [&sys](const std::string& dir) {
    std::vector<std::string> names;
    if (sys.list(dir, names) < 0)
      names.clear();
    std::erase_if(names, [&](const std::string& n) {
      return sys.exists(dir + "/" + n + "/cgroup.procs") != 1; // A file of the group itself.
    });
    return names;
  };
  std::set<std::string> known; // Of a namespace with containers nothing is missed.
  for (const auto& [name, c] : ledger_->now().all())
    known.insert(name.ns);
  std::set<std::pair<std::string, std::string>> strangers;
  for (const auto& mount : runtime::mounts_of(cgroups_))
    for (const auto& ns : groups_in(mount + "/" + parent)) {
      if (!known.contains(ns))
        strangers.emplace(ns, ""); // Perhaps empty since its last container went.
      for (const auto& id : groups_in(mount + "/" + parent + "/" + ns))
        if (is_hook_group(id))
          guard_hook(*services_, ns, id);
        else if (ledger_->now().find({ns, id}) == nullptr)
          strangers.emplace(ns, id);
    }
  // From the back: what is in a namespace comes before the namespace itself.
  for (auto at = strangers.rbegin(); at != strangers.rend(); ++at) {
    const auto path = services_->cgroup_path({at->first, at->second.empty() ? "any" : at->second});
    runtime::cgroup group{sys, cgroups_, path};
    if (at->second.empty())
      group.remove_parents();
    else if (group.populated()) // Never clean up what is alive.
      io::log_warn("the cgroup {} has processes and no record of ours: left alone", path);
    else
      group.remove();
  }
  if (known.empty()) // The crash may have come between the last namespace and what is above it.
    runtime::cgroup{sys, cgroups_, "/" + parent + "/any"}.remove_parents();
}

} // namespace gantry::actors
