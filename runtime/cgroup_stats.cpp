#include <algorithm>
#include <array>

#include "runtime/cgroup.hpp"
#include "runtime/cgroup_files.hpp"

namespace gantry::runtime {

namespace {

/// USER_HZ: what the kernel counts in for user space, 100 on every Linux.
constexpr uint64_t tick_ns = 10'000'000;
constexpr uint64_t us = 1000;

/// Reads files of one container's directories and keeps the raw text where it is wanted.
class reader {
public:
  reader(io::kernel& k, v1::Stats& out, bool raw) : kernel_(k), out_(out), raw_(raw) {}

  /// The text, valid until the next call; empty where there is no such file.
  std::string_view operator()(const std::string& dir, const std::string& file) {
    text_.clear();
    if (dir.empty() || kernel_.read_small(dir + "/" + file, text_) < 0)
      return {};
    found_ = true;
    if (raw_)
      (*out_.mutable_raw())[file] = text_;
    return text_;
  }

  /// Whether any file was there.
  [[nodiscard]] bool found() const noexcept { return found_; }

private:
  io::kernel& kernel_;
  v1::Stats& out_;
  bool raw_;
  bool found_ = false;
  std::string text_;
};

uint64_t less(uint64_t all, uint64_t part) {
  return all - std::min(all, part);
}

void read_v1(reader& read, const std::array<std::string, 5>& dirs, v1::Stats& out) {
  const auto& [cpuacct, cpu, memory, pids, blkio] = dirs;
  out.set_cpu_usage_ns(number_in(read(cpuacct, "cpuacct.usage")));
  auto ticks = read(cpuacct, "cpuacct.stat");
  out.set_cpu_user_ns(value_of(ticks, "user") * tick_ns);
  out.set_cpu_system_ns(value_of(ticks, "system") * tick_ns);
  auto throttling = read(cpu, "cpu.stat");
  out.set_throttled_periods(value_of(throttling, "nr_throttled"));
  out.set_throttled_ns(value_of(throttling, "throttled_time"));
  out.set_memory_bytes(number_in(read(memory, "memory.usage_in_bytes")));
  out.set_memory_limit_bytes(limit_or_none(number_in(read(memory, "memory.limit_in_bytes"))));
  out.set_memory_peak_bytes(number_in(read(memory, "memory.max_usage_in_bytes")));
  auto detail = read(memory, "memory.stat");
  out.set_memory_working_set_bytes(
    less(out.memory_bytes(), value_of(detail, "total_inactive_file")));
  out.set_swap_bytes(value_of(detail, "total_swap")); // absent without swap accounting
  out.set_oom_kills(value_of(read(memory, "memory.oom_control"), "oom_kill"));
  out.set_pids(number_in(read(pids, "pids.current")));
  out.set_pids_limit(number_in(read(pids, "pids.max")));
  auto io = read(blkio, "blkio.throttle.io_service_bytes_recursive");
  out.set_io_read_bytes(blkio_sum(io, "Read"));
  out.set_io_write_bytes(blkio_sum(io, "Write"));
}

void read_v2(reader& read, const std::string& dir, v1::Stats& out) {
  auto cpu = read(dir, "cpu.stat");
  out.set_cpu_usage_ns(value_of(cpu, "usage_usec") * us);
  out.set_cpu_user_ns(value_of(cpu, "user_usec") * us);
  out.set_cpu_system_ns(value_of(cpu, "system_usec") * us);
  out.set_throttled_periods(value_of(cpu, "nr_throttled"));
  out.set_throttled_ns(value_of(cpu, "throttled_usec") * us);
  out.set_memory_bytes(number_in(read(dir, "memory.current")));
  out.set_memory_limit_bytes(number_in(read(dir, "memory.max")));
  out.set_memory_peak_bytes(number_in(read(dir, "memory.peak"))); // kernel 5.19
  out.set_memory_working_set_bytes(
    less(out.memory_bytes(), value_of(read(dir, "memory.stat"), "inactive_file")));
  out.set_swap_bytes(number_in(read(dir, "memory.swap.current")));
  out.set_oom_kills(value_of(read(dir, "memory.events"), "oom_kill"));
  out.set_pids(number_in(read(dir, "pids.current")));
  out.set_pids_limit(number_in(read(dir, "pids.max")));
  auto io = read(dir, "io.stat");
  out.set_io_read_bytes(io_stat_sum(io, "rbytes"));
  out.set_io_write_bytes(io_stat_sum(io, "wbytes"));
}

/// Only for who asks for the raw files: nothing of it is in the normalised numbers.
void read_more_v1(reader& read, const std::array<std::string, 5>& dirs) {
  const auto& [cpuacct, cpu, memory, pids, blkio] = dirs;
  read(cpuacct, "cpuacct.usage_percpu");
  read(cpu, "cpu.shares");
  read(cpu, "cpu.cfs_quota_us");
  read(cpu, "cpu.cfs_period_us");
  read(memory, "memory.failcnt");
  read(memory, "memory.soft_limit_in_bytes");
  read(memory, "memory.memsw.usage_in_bytes");
  read(memory, "memory.memsw.limit_in_bytes");
  read(memory, "memory.memsw.max_usage_in_bytes");
  read(pids, "pids.events");
  read(blkio, "blkio.throttle.io_serviced_recursive");
}

void read_more_v2(reader& read, const std::string& dir) {
  for (const char* file : {"cgroup.events", "cpu.max", "cpu.weight", "memory.high",
                           "memory.low", "memory.swap.max", "pids.events", "pids.peak"})
    read(dir, file);
}

} // namespace

// A file is four system calls (open, read, the read that finds the end, close). v1: 12 files,
// v2: 10 files, and 3 of pressure where the unified hierarchy has it: 52 to 60 calls. `raw`
// adds 44 (v1) or 32 (v2).
result<v1::Stats> cgroup::stats(bool raw) const {
  v1::Stats out;
  out.set_read_at_ns(kernel_.realtime().count());
  reader read(kernel_, out, raw);
  if (host_.mode == cgroup_mode::v2) {
    read_v2(read, unified_dir(), out);
    if (raw)
      read_more_v2(read, unified_dir());
  } else {
    std::array dirs{dir("cpuacct"), dir("cpu"), dir("memory"), dir("pids"), dir("blkio")};
    read_v1(read, dirs, out);
    if (raw)
      read_more_v1(read, dirs);
  }
  if (!read.found())
    return error{ec::not_found, "cgroup " + path_ + " does not exist: no statistics", ""};
  if (host_.has_psi)
    for (const char* what : {"cpu", "io", "memory"}) {
      std::string text;
      if (kernel_.read_small(unified_dir() + "/" + what + ".pressure", text) >= 0)
        (*out.mutable_psi())[what] = std::move(text);
    }
  return out;
}

uint64_t cgroup::throttled_ns() const {
  std::string text;
  const bool v2 = host_.mode == cgroup_mode::v2;
  if (kernel_.read_small((v2 ? unified_dir() : dir("cpu")) + "/cpu.stat", text) < 0)
    return 0;
  return v2 ? value_of(text, "throttled_usec") * us : value_of(text, "throttled_time");
}

} // namespace gantry::runtime
