#include <algorithm>
#include <array>

#include "runtime/accounts.hpp"
#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/config_parts.hpp"
#include "runtime/seccomp.hpp"

namespace gantry::runtime {

namespace {

using nlohmann::json;

error not_oci(const std::string& what) {
  return {ec::invalid_argument, "config.json: " + what, "see the OCI runtime specification"};
}

bool is_word(const json& x, std::string_view word) {
  return x.is_string() && x.get_ref<const std::string&>() == word;
}

std::string text_of(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

/// Without slashes at the end.
std::string trimmed(std::string path) {
  path.erase(path.find_last_not_of('/') + 1);
  return path;
}

bool is_at_or_below(const std::string& path, const std::string& top) {
  return (trimmed(path) + "/").starts_with(top + "/");
}

bool has_one(const v1::Mount& m, std::initializer_list<std::string_view> words) {
  return std::any_of(m.options().begin(), m.options().end(), [&words](const auto& option) {
    return std::find(words.begin(), words.end(), option) != words.end();
  });
}

json bind_of(const v1::Mount& m) {
  json options = json::array();
  if (!has_one(m, {"bind", "rbind"}))
    options.push_back("rbind");
  if (!has_one(m, {"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable",
                   "runbindable"}))
    options.push_back("rprivate");
  return {{"type", "bind"}, {"source", m.source()}, {"options", std::move(options)}};
}

json tmpfs_of(const v1::Mount& m) {
  json options = json::array();
  for (std::string_view word : {"suid", "dev", "exec"})
    if (!has_one(m, {word}))
      options.push_back("no" + std::string(word));
  const bool has_mode = std::any_of(m.options().begin(), m.options().end(),
                                    [](const auto& o) { return o.starts_with("mode="); });
  if (!has_mode)
    options.push_back("mode=1777");
  return {{"type", "tmpfs"}, {"source", "tmpfs"}, {"options", std::move(options)}};
}

/// What is mounted by wish covers what gantry, or the bundle, would mount there and below.
result<void> lay_mounts(const v1::ContainerSpec& spec, json& config) {
  auto& mounts = config["mounts"];
  if (mounts.is_null())
    mounts = json::array();
  std::vector<json> wanted;
  for (const auto& m : spec.mounts()) {
    const std::string target = trimmed(m.target());
    json covered = json::array();
    for (auto& one : mounts)
      if (!is_at_or_below(text_of(one, "destination"), target))
        covered.push_back(std::move(one));
    mounts = std::move(covered);
    json made = m.type() == "bind" ? bind_of(m) : tmpfs_of(m);
    made["destination"] = target;
    if (m.read_only())
      made["options"].push_back("ro");
    for (const auto& option : m.options())
      made["options"].push_back(option);
    wanted.push_back(std::move(made));
  }
  const auto depth = [](const json& m) {
    const auto& path = m["destination"].get_ref<const std::string&>();
    return std::count(path.begin(), path.end(), '/');
  };
  std::stable_sort(wanted.begin(), wanted.end(), [&depth](const json& a, const json& b) {
    return depth(a) < depth(b); // What lies within another comes behind it.
  });
  for (auto& m : wanted)
    mounts.push_back(std::move(m));
  return {};
}

/// Changes the options of mounts of this type.
void change_mounts(json& config, std::string_view type, std::string_view without,
                   std::string_view with) {
  for (auto& m : config["mounts"]) {
    if (!m.is_object() || text_of(m, "type") != type)
      continue;
    auto& options = m["options"];
    json kept = json::array();
    for (const auto& o : options.is_array() ? options : json::array())
      if (!is_word(o, without) && !is_word(o, with))
        kept.push_back(o);
    kept.push_back(with);
    options = std::move(kept);
  }
}

void size_shm(const v1::ContainerSpec& spec, json& config) {
  if (spec.shm_bytes() == 0)
    return;
  for (auto& m : config["mounts"]) {
    if (trimmed(text_of(m, "destination")) != "/dev/shm" || !m["options"].is_array())
      continue;
    json kept = json::array();
    for (const auto& o : m["options"])
      if (!o.is_string() || !o.get_ref<const std::string&>().starts_with("size="))
        kept.push_back(o);
    kept.push_back("size=" + std::to_string(spec.shm_bytes()));
    m["options"] = std::move(kept);
  }
}

/// Dropped first, then added; ALL among the added ones comes before both.
void lay_capabilities(const bundle_request& req, json& config) {
  const auto& spec = req.spec;
  auto& process = config["process"];
  const bool all = spec.privileged()
                   || std::any_of(spec.cap_add().begin(), spec.cap_add().end(), is_all);
  if (!all && spec.cap_add().empty() && spec.cap_drop().empty())
    return;
  std::vector<std::string> names;
  const auto bounding = process["capabilities"].is_object()
                          ? process["capabilities"].value("bounding", json::array())
                          : json::array();
  for (const auto& name : bounding)
    if (name.is_string())
      names.push_back(name.get<std::string>());
  if (all) {
    names.clear();
    const auto known = all_capabilities();
    for (size_t i = 0; i < known.size(); ++i)
      if ((req.host.capabilities >> i) & 1)
        names.push_back(known[i]);
  }
  for (const auto& drop : spec.cap_drop()) {
    if (is_all(drop))
      names.clear();
    std::erase(names, full_capability(drop));
  }
  for (const auto& add : spec.cap_add())
    if (const auto name = full_capability(add);
        !name.empty() && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  process["capabilities"] = capability_sets(json(names));
}

void lay_devices(const bundle_request& req, json& linux) {
  if (req.host.devices.empty() && !req.spec.privileged())
    return;
  auto& rules = linux["resources"]["devices"];
  if (rules.is_null())
    rules = json::array();
  auto& nodes = linux["devices"];
  for (const auto& d : req.host.devices) {
    nodes.push_back({{"path", d.path},
                     {"type", std::string(1, d.type)},
                     {"major", d.major},
                     {"minor", d.minor},
                     {"fileMode", d.mode},
                     {"uid", d.uid},
                     {"gid", d.gid}});
    if (!req.spec.privileged())
      rules.push_back({{"allow", true},
                       {"type", std::string(1, d.type)},
                       {"major", d.major},
                       {"minor", d.minor},
                       {"access", d.access}});
  }
  if (req.spec.privileged())
    rules = json::array({{{"allow", true}, {"access", "rwm"}}});
  if (nodes.is_null())
    linux.erase("devices");
}

void lay_disks(const bundle_request& req, json& linux) {
  for (const auto& limit : req.spec.resources().io_limits()) {
    const auto at = req.host.disks.find(limit.path());
    if (at == req.host.disks.end())
      continue;
    auto& io = linux["resources"]["blockIO"];
    const auto add = [&io, at](const char* key, uint64_t rate) {
      if (rate > 0)
        io[key].push_back({{"major", at->second.major}, {"minor", at->second.minor},
                           {"rate", rate}});
    };
    add("throttleReadBpsDevice", limit.read_bps());
    add("throttleWriteBpsDevice", limit.write_bps());
    add("throttleReadIOPSDevice", limit.read_iops());
    add("throttleWriteIOPSDevice", limit.write_iops());
  }
}

/// With a PID namespace of its own its init is number 1; else nobody can tell yet.
bool has_own_pids(const json& linux) {
  const auto spaces = linux.find("namespaces");
  if (spaces == linux.end() || !spaces->is_array())
    return false;
  return std::any_of(spaces->begin(), spaces->end(), [](const json& one) {
    return one.is_object() && text_of(one, "type") == "pid" && text_of(one, "path").empty();
  });
}

/// A directory, and read-only: who writes to a socket changes no file, and a socket that had to be
/// made anew is seen. It comes last, so nothing covers it.
void lay_notify(const bundle_request& req, json& config) {
  if (req.notify_dir.empty())
    return;
  config["mounts"].push_back(
    {{"destination", notify_target},
     {"type", "bind"},
     {"source", req.notify_dir},
     {"options", {"bind", "ro", "nosuid", "nodev", "noexec", "rprivate"}}});
  google::protobuf::RepeatedPtrField<std::string> env;
  env.Add("NOTIFY_SOCKET=" + std::string(notify_target) + "/" + std::string(notify_name));
  if (const auto ns = req.spec.notify().watchdog_ns(); ns > 0) {
    env.Add("WATCHDOG_USEC=" + std::to_string(ns / 1000));
    if (has_own_pids(config["linux"]))
      env.Add("WATCHDOG_PID=1");
  }
  merge_env(config["process"]["env"], env);
}

result<void> lay_security(const v1::ContainerSpec& spec, json& config) {
  const auto& s = spec.security();
  auto& process = config["process"];
  auto& linux = config["linux"];
  if (s.has_no_new_privileges() || spec.privileged())
    process["noNewPrivileges"] = s.has_no_new_privileges() && s.no_new_privileges();
  if (spec.privileged() || s.unmasked()) {
    linux.erase("maskedPaths");
    linux.erase("readonlyPaths");
  }
  if (spec.privileged()) {
    change_mounts(config, "sysfs", "ro", "rw");
    change_mounts(config, "proc", "ro", "rw");
  }
  if (spec.privileged() || s.writable_cgroups())
    change_mounts(config, "cgroup", "ro", "rw");
  if (!s.apparmor().empty())
    process.erase("apparmorProfile");
  if (!s.apparmor().empty() && s.apparmor() != "unconfined")
    process["apparmorProfile"] = s.apparmor();
  if (!s.selinux().empty())
    process["selinuxLabel"] = s.selinux();
  if (!s.selinux_mount().empty())
    linux["mountLabel"] = s.selinux_mount();
  if (s.seccomp() == "unconfined" || (s.seccomp().empty() && spec.privileged())) {
    linux.erase("seccomp");
  } else if (!s.seccomp().empty()) {
    const auto capabilities = process["capabilities"].is_object()
                                ? process["capabilities"].value("bounding", json::array())
                                : json::array();
    auto made = seccomp_of(s.seccomp(), s.seccomp_agent(), &capabilities);
    if (!made)
      return std::move(made).why();
    linux["seccomp"] = *std::move(made);
  } else if (!s.seccomp_agent().empty() && linux["seccomp"].is_object()) {
    linux["seccomp"]["listenerPath"] = s.seccomp_agent();
  }
  return {};
}

} // namespace

bool wants_default_seccomp(const v1::ContainerSpec& spec) {
  return spec.bundle().empty() && spec.security().seccomp().empty() && !spec.privileged();
}

result<void> lay_options(const bundle_request& req, json& config) {
  const auto& spec = req.spec;
  auto& process = config["process"];
  auto& linux = config["linux"];
  for (const char* key : {"seccomp", "sysctl"})
    if (linux.contains(key) && !linux[key].is_object())
      return not_oci("linux." + std::string(key) + " is not an object");
  for (const char* key : {"devices"})
    if (linux.contains(key) && !linux[key].is_array())
      return not_oci("linux." + std::string(key) + " is not an array");
  if (auto done = lay_mounts(spec, config); !done)
    return done;
  lay_notify(req, config);
  size_shm(spec, config);
  lay_capabilities(req, config);
  lay_devices(req, linux);
  lay_disks(req, linux);
  lay_scope(req, config);
  if (!spec.sysctls().empty())
    linux["sysctl"].update(string_map(spec.sysctls()));
  if (!spec.rlimits().empty())
    process["rlimits"] = rlimits_over(std::move(process["rlimits"]), spec.rlimits());
  if (spec.has_oom_score_adj())
    process["oomScoreAdj"] = spec.oom_score_adj();
  add_groups(process, {spec.groups().begin(), spec.groups().end()});
  return lay_security(spec, config);
}

} // namespace gantry::runtime
