#include <sys/random.h>

#include "library/convert.hpp"

// From the public structs to the words of the bus.

namespace gantry::library {

namespace {

template <class From, class To>
void put_list(const From& from, To* to) {
  to->Assign(from.begin(), from.end());
}

template <class From, class To>
void put_map(const From& from, To* to) {
  for (const auto& [key, value] : from)
    (*to)[key] = value;
}

void put(const fifo_paths& x, v1::Fifos* to) {
  to->set_stdin_path(x.in);
  to->set_stdout_path(x.out);
  to->set_stderr_path(x.err);
}

void put(const process_limit& x, v1::Rlimit* to) {
  to->set_type(x.type);
  to->set_soft(x.soft);
  to->set_hard(x.hard);
}

void put(const mount_spec& x, v1::Mount* to) {
  to->set_type(x.type);
  to->set_source(x.source);
  to->set_target(x.target);
  to->set_read_only(x.read_only);
  put_list(x.options, to->mutable_options());
}

void put(const device_spec& x, v1::Device* to) {
  to->set_host_path(x.host_path);
  to->set_path(x.path);
  to->set_access(x.access);
}

void put(const security_options& x, v1::Security* to) {
  if (x.no_new_privileges)
    to->set_no_new_privileges(*x.no_new_privileges);
  to->set_seccomp(x.seccomp);
  to->set_seccomp_agent(x.seccomp_agent);
  to->set_apparmor(x.apparmor);
  to->set_selinux(x.selinux);
  to->set_selinux_mount(x.selinux_mount);
  to->set_writable_cgroups(x.writable_cgroups);
  to->set_unmasked(x.unmasked);
}

void put(const notify_socket& x, v1::NotifySocket* to) {
  if (x.watchdog)
    to->set_watchdog_ns(x.watchdog->count());
  if (x.start_timeout)
    to->set_start_timeout_ns(x.start_timeout->count());
  if (x.extend_max)
    to->set_extend_max_ns(x.extend_max->count());
  to->set_heard(x.main_only ? "main" : "all");
}

/// What it sees and may do.
void put_isolation(const container_spec& x, v1::ContainerSpec& to) {
  for (const auto& m : x.mounts)
    put(m, to.add_mounts());
  put_list(x.cap_add, to.mutable_cap_add());
  put_list(x.cap_drop, to.mutable_cap_drop());
  to.set_privileged(x.privileged);
  for (const auto& l : x.rlimits)
    put(l, to.add_rlimits());
  for (const auto& d : x.devices)
    put(d, to.add_devices());
  put_map(x.sysctls, to.mutable_sysctls());
  put(x.security, to.mutable_security());
  if (x.oom_score_adj)
    to.set_oom_score_adj(*x.oom_score_adj);
  to.set_cgroup_parent(x.cgroup_parent);
  to.set_shm_bytes(int64_t(x.shm_bytes));
  put_list(x.groups, to.mutable_groups());
  put_list(x.group_names, to.mutable_group_names());
}

/// When it is started again, whether it works, and what ends it.
void put_policies(const container_spec& x, v1::ContainerSpec& to) {
  if (x.restart)
    *to.mutable_restart() = to_bus(*x.restart);
  if (x.health)
    *to.mutable_health() = to_bus(*x.health);
  if (x.max_run)
    to.set_max_run_ns(x.max_run->count());
  to.set_oom_policy(x.oom_policy);
  put_list(x.pressure, to.mutable_pressure());
  to.set_pressure_policy(x.pressure_policy);
}

void put(const log_limits& x, v1::LogOptions* to) {
  to->set_max_file_bytes(x.max_file_bytes);
  to->set_max_files(x.max_files);
  to->set_max_line_bytes(x.max_line_bytes);
  to->set_format(x.format);
  to->set_when_full(x.when_full);
  to->set_rate_bytes(x.rate_bytes);
  to->set_burst_bytes(x.burst_bytes);
  to->set_max_age_ns(x.max_age_ns);
  to->set_compress(x.compress);
  to->set_forward(x.forward);
}

} // namespace

v1::Ref to_bus(const container_ref& x) {
  v1::Ref out;
  out.set_namespace_(x.ns);
  out.set_id(x.id);
  return out;
}

v1::TerminalSize to_bus(const terminal_size& x) {
  v1::TerminalSize out;
  out.set_width(x.width);
  out.set_height(x.height);
  return out;
}

v1::Resources to_bus(const resource_limits& x) {
  v1::Resources out;
  out.set_memory_bytes(x.memory_bytes.value_or(0));
  out.set_memory_swap_bytes(x.memory_swap_bytes.value_or(0));
  out.set_memory_reservation_bytes(x.memory_reservation_bytes.value_or(0));
  out.set_nano_cpus(int64_t(x.cpus.value_or(0) * 1e9));
  out.set_cpu_quota_us(x.cpu_quota_us.value_or(0));
  out.set_cpu_period_us(x.cpu_period_us.value_or(0));
  out.set_cpu_shares(x.cpu_shares.value_or(0));
  out.set_pids_limit(x.pids.value_or(0));
  out.set_cpuset_cpus(x.cpuset_cpus);
  out.set_cpuset_mems(x.cpuset_mems);
  put_map(x.unified, out.mutable_unified());
  out.set_io_weight(x.io_weight.value_or(0));
  for (const auto& d : x.disks) {
    auto* to = out.add_io_limits();
    to->set_path(d.path);
    to->set_read_bps(d.read_bps);
    to->set_write_bps(d.write_bps);
    to->set_read_iops(d.read_iops);
    to->set_write_iops(d.write_iops);
  }
  return out;
}

v1::ContainerSpec to_bus(const container_spec& x) {
  v1::ContainerSpec out;
  for (const auto& a : x.after) {
    out.add_after()->set_id(a.id);
    out.mutable_after()->rbegin()->set_condition(a.condition);
  }
  out.set_after_timeout_ns(x.after_timeout ? x.after_timeout->count() : 0);
  out.set_bundle(x.bundle);
  out.set_rootfs(x.rootfs);
  put_list(x.args, out.mutable_args());
  put_list(x.env, out.mutable_env());
  out.set_workdir(x.workdir);
  out.set_user(x.user);
  out.set_hostname(x.hostname);
  out.set_read_only(x.read_only);
  out.set_network(x.network);
  *out.mutable_resources() = to_bus(x.limits);
  put(x.log, out.mutable_log());
  put_map(x.labels, out.mutable_labels());
  put_map(x.annotations, out.mutable_annotations());
  out.set_runtime(x.runtime);
  out.set_with_stdin(x.with_stdin);
  out.set_terminal(x.terminal);
  out.set_remove_on_exit(x.remove_on_exit);
  out.set_stop_signal(x.stop_signal);
  if (x.stop_timeout)
    out.set_stop_timeout_ns(x.stop_timeout->count());
  if (x.terminal_size)
    *out.mutable_terminal_size() = to_bus(*x.terminal_size);
  put(x.fifos, out.mutable_fifos());
  put_isolation(x, out);
  if (x.notify)
    put(*x.notify, out.mutable_notify());
  put_policies(x, out);
  return out;
}

v1::ProcessSpec to_bus(const process_spec& x) {
  v1::ProcessSpec out;
  put_list(x.args, out.mutable_args());
  put_list(x.env, out.mutable_env());
  out.set_workdir(x.workdir);
  out.set_user(x.user);
  put_list(x.groups, out.mutable_groups());
  put_list(x.group_names, out.mutable_group_names());
  out.set_with_stdin(x.with_stdin);
  out.set_terminal(x.terminal);
  put_list(x.capabilities, out.mutable_capabilities());
  put(x.log, out.mutable_log());
  for (const auto& l : x.rlimits)
    put(l, out.add_rlimits());
  if (x.no_new_privileges)
    out.set_no_new_privileges(*x.no_new_privileges);
  out.set_apparmor_profile(x.apparmor_profile);
  if (x.terminal_size)
    *out.mutable_terminal_size() = to_bus(*x.terminal_size);
  put(x.fifos, out.mutable_fifos());
  out.set_privileged(x.privileged);
  if (x.timeout)
    out.set_timeout_ns(x.timeout->count());
  out.set_on_disconnect(v1::OnDisconnect(int(x.on_disconnect)));
  if (x.ttl)
    out.set_ttl_ns(x.ttl->count());
  return out;
}

v1::ListRequest to_bus(const list_request& x) {
  v1::ListRequest out;
  out.set_namespace_(x.ns);
  out.set_all(x.all);
  auto* filter = out.mutable_filter();
  put_list(x.ids, filter->mutable_ids());
  for (const auto state : x.states)
    filter->add_states(v1::State(int(state)));
  put_map(x.labels, filter->mutable_labels());
  put_list(x.label_keys, filter->mutable_label_keys());
  put_list(x.exit_codes, filter->mutable_exit_codes());
  put_list(x.runtimes, filter->mutable_runtimes());
  return out;
}

v1::CheckpointRequest to_bus(const checkpoint_request& x) {
  v1::CheckpointRequest out;
  *out.mutable_ref() = to_bus(x.ref);
  out.set_name(x.name);
  out.set_leave_running(x.leave_running);
  out.set_tcp_established(x.tcp_established);
  out.set_file_locks(x.file_locks);
  out.set_external_unix(x.external_unix);
  out.set_dir(x.dir);
  if (x.timeout)
    out.set_timeout_ns(x.timeout->count());
  return out;
}

v1::FollowRequest to_bus(const subscribe_options& x) {
  v1::FollowRequest out;
  out.set_follow(true);
  out.set_list(bool(x.on_list));
  if (x.since && !x.on_list) {
    out.mutable_since()->set_epoch(x.since->epoch);
    out.mutable_since()->set_seq(x.since->seq);
  }
  auto* filter = out.mutable_filter();
  filter->set_namespace_(x.ns);
  put_list(x.containers, filter->mutable_containers());
  put_list(x.types, filter->mutable_types());
  put_map(x.labels, filter->mutable_labels());
  return out;
}

std::string fresh_request_id() {
  unsigned char bits[16] = {};
  [[maybe_unused]] auto n = ::getrandom(bits, sizeof(bits), 0); // So few are never refused.
  std::string out;
  for (auto b : bits) {
    out.push_back("0123456789abcdef"[b >> 4]);
    out.push_back("0123456789abcdef"[b & 15]);
  }
  return out;
}

} // namespace gantry::library
