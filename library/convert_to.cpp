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

v1::Resources to_bus(const resource_limits& x) {
  v1::Resources out;
  out.set_memory_bytes(x.memory_bytes.value_or(0));
  out.set_memory_swap_bytes(x.memory_swap_bytes.value_or(0));
  out.set_memory_reservation_bytes(x.memory_reservation_bytes.value_or(0));
  out.set_nano_cpus(int64_t(x.cpus.value_or(0) * 1e9));
  out.set_cpu_shares(x.cpu_shares.value_or(0));
  out.set_pids_limit(x.pids.value_or(0));
  out.set_cpuset_cpus(x.cpuset_cpus);
  out.set_cpuset_mems(x.cpuset_mems);
  put_map(x.unified, out.mutable_unified());
  return out;
}

v1::ContainerSpec to_bus(const container_spec& x) {
  v1::ContainerSpec out;
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
  return out;
}

v1::ProcessSpec to_bus(const process_spec& x) {
  v1::ProcessSpec out;
  put_list(x.args, out.mutable_args());
  put_list(x.env, out.mutable_env());
  out.set_workdir(x.workdir);
  out.set_user(x.user);
  out.set_with_stdin(x.with_stdin);
  out.set_terminal(x.terminal);
  put_list(x.capabilities, out.mutable_capabilities());
  put(x.log, out.mutable_log());
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
