#include "runtime/bundle.hpp"
#include "runtime/cgroup_driver.hpp"
#include "runtime/config_parts.hpp"

namespace gantry::runtime {

/// What a runtime tells systemd of the container's scope.
void lay_scope(const bundle_request& req, nlohmann::json& config) {
  if (!req.by_systemd)
    return;
  auto& notes = config["annotations"];
  notes["run.oci.systemd.subgroup"] = crun_directory; // Whatever the bundle says: we look there.
  // The host goes down: the container is ours to end, with its signal and its grace.
  if (!req.before_unit.empty())
    notes["org.systemd.property.Before"] = "['" + req.before_unit + "']";
  // systemd has a limit of its own for units without one (DefaultTasksMax). runc takes it from
  // the resources, crun does not, and both from an annotation.
  if (!config["linux"]["resources"].contains("pids"))
    notes["org.systemd.property.TasksMax"] = "uint64 18446744073709551615";
}

} // namespace gantry::runtime
