#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "apps/gantry/reader.hpp"
#include "apps/gantry/spec_words.hpp"

namespace gantry::cli {

namespace {

constexpr size_t most_file = 1u << 20;

const char* own_variable(const std::string& name) {
  return std::getenv(name.c_str()); // NOLINT(concurrency-mt-unsafe): one thread
}

void put_variable(std::string entry, google::protobuf::RepeatedPtrField<std::string>& to) {
  const auto key = entry.substr(0, entry.find('=') + 1);
  for (auto& there : to)
    if (there.starts_with(key)) {
      there = std::move(entry);
      return;
    }
  *to.Add() = std::move(entry);
}

void take_rates(reader& in, v1::Resources& to) {
  struct row {
    const char* option;
    result<int64_t> (*parse)(std::string_view);
    void (v1::IoLimit::*set)(uint64_t);
  };
  constexpr auto count = [](std::string_view t) { return parse_number(t, 1, INT64_MAX); };
  const std::array rows{
    row{"--device-read-bps", parse_size, &v1::IoLimit::set_read_bps},
    row{"--device-write-bps", parse_size, &v1::IoLimit::set_write_bps},
    row{"--device-read-iops", count, &v1::IoLimit::set_read_iops},
    row{"--device-write-iops", count, &v1::IoLimit::set_write_iops},
  };
  for (const auto& r : rows)
    in.take_each(
      r.option, [&r](const std::string& t) { return parse_device_rate(t, r.parse); },
      [&to, &r](const std::pair<std::string, uint64_t>& x) {
        auto& all = *to.mutable_io_limits();
        auto at =
          std::find_if(all.begin(), all.end(), [&x](const auto& l) { return l.path() == x.first; });
        v1::IoLimit& limit = at == all.end() ? *all.Add() : *at;
        limit.set_path(x.first);
        (limit.*r.set)(x.second);
      });
}

void take_mounts(reader& in, v1::ContainerSpec& to) {
  const auto add = [&to](v1::Mount m) { *to.add_mounts() = std::move(m); };
  in.take_each("--volume", parse_volume, add);
  in.take_each("--mount", parse_mount, add);
  in.take_each("--tmpfs", parse_tmpfs, add);
  in.take("--shm-size", parse_size, [&to](int64_t n) { to.set_shm_bytes(n); });
}

} // namespace

result<std::string> read_small_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(most_file + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad())
    return from_errno(errno == 0 ? EISDIR : errno, "read", path);
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > most_file)
    return error{ec::invalid_argument, path + " is larger than 1 MiB", "name another file"};
  return text;
}

std::string absolute(const std::string& path) {
  std::error_code ignored; // Without a working directory the path stays as it is.
  const auto whole = std::filesystem::absolute(path, ignored).lexically_normal().string();
  return ignored ? path : whole;
}

void take_env(reader& in, google::protobuf::RepeatedPtrField<std::string>& to) {
  for (const auto& file : in.line.list("--env-file")) {
    const auto read = [&file](const std::string&) -> result<std::vector<std::string>> {
      auto text = read_small_file(file);
      if (!text)
        return std::move(text).why();
      return parse_env_file(*text, file, own_variable);
    };
    in.take("--env-file", file, read, [&to](std::vector<std::string> entries) {
      for (auto& entry : entries)
        put_variable(std::move(entry), to);
    });
  }
  for (const auto& text : in.line.list("--env")) {
    if (text.find('=') != std::string::npos)
      put_variable(text, to);
    else if (const char* value = own_variable(text))
      put_variable(text + "=" + value, to);
  }
}

void take_limits(reader& in, v1::Resources& to) {
  in.take("--memory", parse_limit, [&to](int64_t n) { to.set_memory_bytes(n); });
  in.take("--memory-swap", parse_limit, [&to](int64_t n) { to.set_memory_swap_bytes(n); });
  in.take("--memory-reservation", parse_limit,
          [&to](int64_t n) { to.set_memory_reservation_bytes(n); });
  in.take("--cpus", parse_cpus, [&to](int64_t n) { to.set_nano_cpus(n); });
  const auto number = [](std::string_view t) { return parse_number(t, 1, INT32_MAX); };
  in.take("--cpu-quota", parse_limit, [&to](int64_t n) { to.set_cpu_quota_us(n); });
  in.take("--cpu-period", number,
          [&to](int64_t n) { to.set_cpu_period_us(static_cast<uint64_t>(n)); });
  const auto shares = [](std::string_view t) { return parse_number(t, 2, 262144); };
  in.take("--cpu-shares", shares,
          [&to](int64_t n) { to.set_cpu_shares(static_cast<uint64_t>(n)); });
  const auto pids = [&number](std::string_view t) {
    return t == "-1" ? result<int64_t>(-1) : number(t);
  };
  in.take("--pids-limit", pids, [&to](int64_t n) { to.set_pids_limit(n); });
  const auto weight = [](std::string_view t) { return parse_number(t, 10, 1000); };
  in.take("--blkio-weight", weight,
          [&to](int64_t n) { to.set_io_weight(static_cast<uint32_t>(n)); });
  take_rates(in, to);
  to.set_cpuset_cpus(in.line.text("--cpuset-cpus"));
  to.set_cpuset_mems(in.line.text("--cpuset-mems"));
  in.pairs("--cgroup-conf", in.line.list("--cgroup-conf"), *to.mutable_unified());
}

void take_isolation(reader& in, v1::ContainerSpec& to) {
  take_mounts(in, to);
  for (const auto& name : in.line.list("--cap-add"))
    to.add_cap_add(name);
  for (const auto& name : in.line.list("--cap-drop"))
    to.add_cap_drop(name);
  to.set_privileged(in.line.flag("--privileged"));
  in.take_each("--ulimit", parse_ulimit, [&to](v1::Rlimit l) {
    for (auto& there : *to.mutable_rlimits())
      if (there.type() == l.type()) {
        there = l;
        return;
      }
    *to.add_rlimits() = std::move(l);
  });
  in.take_each("--device", parse_device, [&to](v1::Device d) { *to.add_devices() = std::move(d); });
  in.pairs("--sysctl", in.line.list("--sysctl"), *to.mutable_sysctls());
  const auto secure = [&to](const std::string& text) -> result<bool> {
    auto done = add_security(text, read_small_file, *to.mutable_security());
    return done ? result<bool>(true) : result<bool>(std::move(done).why());
  };
  in.take_each("--security-opt", secure, [](bool) {});
  const auto adjust = [](std::string_view t) { return parse_number(t, -1000, 1000); };
  in.take("--oom-score-adj", adjust,
          [&to](int64_t n) { to.set_oom_score_adj(static_cast<int32_t>(n)); });
  to.set_cgroup_parent(in.line.text("--cgroup-parent"));
}

} // namespace gantry::cli
