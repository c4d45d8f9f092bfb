#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "io/loop.hpp"
#include "messages/gantry.pb.h"
#include "messages/result.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/host_things.hpp"
#include "runtime/ids.hpp"

namespace gantry::runtime {

/// What a bundle is made from.
struct bundle_request {
  container_name name;
  v1::ContainerSpec spec;
  std::string dir;    ///< Gantry's own bundle directory; made with its parents (0700).
  std::string cgroup; ///< linux.cgroupsPath: a path, or for systemd SLICE:PREFIX:NAME.
  /// Hard limit of RLIMIT_NOFILE; `prepare_bundle` lowers it to gantryd's own, which a runtime
  /// without CAP_SYS_RESOURCE cannot raise.
  uint64_t max_open_files = 65536;
  host_things host{}; ///< What the spec names on the host; `prepare_bundle` looks it up.
  /// Directory of its notify socket, which is mounted where `notify_target` says; empty: none.
  std::string notify_dir{};
  bool by_systemd = false; ///< systemd makes the cgroup, a scope.
  std::string before_unit{}; ///< … and ends it after this unit; empty: no matter.
  bool on_tmpfs = false; ///< `dir` lies in memory: it is written at once, not through the ring.
};

/// Where a container finds the directory of its notify socket, and the socket's name in it.
inline constexpr std::string_view notify_target = "/run/notify";
inline constexpr std::string_view notify_name = "notify.sock";

/// A bundle that is ready for the runtime.
struct prepared_bundle {
  std::string dir;
  std::string rootfs;
  std::vector<std::string> args; ///< Command of init.
  bool terminal = false;
};

/// Checks what can be known before anything is made: exactly one of bundle and rootfs,
/// absolute paths, args, env as KEY=VALUE, numbers in range, a user by numbers or names, known
/// network, labels of sane size. No file is looked at.
result<void> check_spec(const v1::ContainerSpec& spec);
result<void> check_process(const v1::ProcessSpec& spec);
result<void> check_resources(const v1::Resources& r);

/// Health, restart, OOM policy and maximum run time of a spec.
result<void> check_policies(const v1::ContainerSpec& spec);
result<void> check_terminal_size(const v1::TerminalSize& size);
/// A directory of checkpoint images that a client names: absolute, without "..".
result<void> check_images(const std::string& dir);

/// The whole config.json for a root filesystem and options: namespaces, masked and
/// read-only paths, Docker-like capabilities and seccomp allow list, no new privileges; and
/// the spec's options laid over that. The spec has passed `check_spec`.
nlohmann::json make_config(const bundle_request& req);

/// A client's config.json made ours: absolute root and relative bind sources, our
/// cgroupsPath, `args`/`env`/limits of the spec over it where given. Fails with a clear error
/// on anything that is not an OCI config (not an object, no process.args, no root.path,
/// terminal). Hooks stay.
result<nlohmann::json> adopt_config(const bundle_request& req, nlohmann::json config);

/// linux.resources for OCI from our numbers (also for `runc update -r -`).
nlohmann::json resources_json(const v1::Resources& r);

/// process.json of an exec: the container's process with the exec's own over it.
/// @param config The container's config.json.
/// @param bounds Capabilities that a privileged exec can have (CapBnd): no more than we have.
result<nlohmann::json> exec_process(const nlohmann::json& config, const v1::ProcessSpec& spec,
                                    uint64_t bounds = ~0ull);

/// The capability bounding set of this process.
uint64_t capability_bounds(io::kernel& k);

/// Reads a client's bundle beneath its directory (openat2), or starts from options; writes
/// config.json into `req.dir`. Everything through the ring, but for a `dir` on a tmpfs; `f` on
/// the loop.
void prepare_bundle(io::loop& l, bundle_request req,
                    std::function<void(result<prepared_bundle>)> f);

/// The command of init in a bundle that `prepare_bundle` made, in an earlier life perhaps.
void read_command(io::loop& l, const std::string& dir,
                  std::function<void(result<std::vector<std::string>>)> f);

/// Removes gantry's own bundle directory with everything in it (flat), through the ring.
void remove_bundle(io::loop& l, std::string dir, std::function<void()> f);

} // namespace gantry::runtime
