#include <algorithm>

#include "runtime/oci_driver.hpp"

// The directories in which containers have their cgroups: kept for the next container of the
// namespace, and taken away when none has come for a while.

namespace gantry::runtime {

namespace {

constexpr io::nanoseconds busy_pause = std::chrono::seconds(1);
/// A parent that is not empty is looked at so often after the last removal in it.
constexpr int parent_looks = 3;

std::string directory_above(const std::string& path) {
  return path.substr(0, std::max<size_t>(path.rfind('/'), 1));
}

} // namespace

oci_driver::~oci_driver() {
  const auto* host = kept_.empty() ? nullptr : cgroups();
  for (auto& [parent, kept] : kept_) {
    kept.pin.reset();
    if (host != nullptr)
      cgroup(loop_.sys(), *host, {parent + "/any", kept.keep}).remove_parents();
  }
}

/// Null where the host has none.
const cgroup_host* oci_driver::cgroups() {
  if (!cgroups_)
    if (auto found = detect_cgroups(loop_.sys()))
      cgroups_ = *std::move(found);
  return cgroups_ ? &*cgroups_ : nullptr;
}

/// From now on the parent of this container's cgroup stays. While what is returned lives, a
/// runtime makes something in it.
std::shared_ptr<void> oci_driver::keep_parent(const std::string& id) {
  if (!cgroup_of_)
    return nullptr;
  const auto place = cgroup_of_(id);
  auto parent = directory_above(place.path);
  auto& kept = kept_[parent];
  kept.keep = place.keep;
  if (!kept.pin)
    kept.pin = std::make_unique<cgroup_pin>(place.path);
  ++kept.makers;
  auto made = [weak = weak_from_this(), parent](void*) {
    if (auto self = weak.lock())
      --self->kept_[parent].makers;
  };
  return {this, std::move(made)};
}

/// Something below this parent was removed: perhaps the last of its namespace. No timer runs
/// while nothing is removed.
void oci_driver::parent_left(const std::string& id) {
  if (!cgroup_of_)
    return;
  auto at = kept_.find(directory_above(cgroup_of_(id).path));
  if (at == kept_.end())
    return; // Not kept: it goes with its last cgroup.
  at->second.left = loop_.sys().monotonic();
  at->second.looks = 0;
  if (!parents_due_.armed())
    parents_due_.start(policy_.parent_linger, [this] { sweep_parents(); });
}

void oci_driver::sweep_parents() {
  const auto* host = cgroups();
  if (host == nullptr)
    return;
  // A runtime that makes a directory in one parent needs what is above all of them, too.
  const bool busy = std::any_of(kept_.begin(), kept_.end(),
                                [](const auto& x) { return x.second.makers > 0; });
  const auto now = loop_.sys().monotonic();
  bool more = false;
  for (auto at = kept_.begin(); at != kept_.end();) {
    auto& [parent, kept] = *at;
    if (!kept.left || busy || now - *kept.left < policy_.parent_linger) {
      more = more || kept.left;
      ++at;
      continue;
    }
    kept.pin.reset();
    if (cgroup(loop_.sys(), *host, {parent + "/any", kept.keep}).remove_parents()) {
      at = kept_.erase(at);
      continue;
    }
    kept.pin = std::make_unique<cgroup_pin>(parent + "/any"); // Others live there.
    if (++kept.looks < parent_looks)
      more = true; // Or the last one is still on its way out.
    else
      kept.left.reset();
    ++at;
  }
  if (more)
    parents_due_.start(busy ? busy_pause : policy_.parent_linger, [this] { sweep_parents(); });
}

} // namespace gantry::runtime
