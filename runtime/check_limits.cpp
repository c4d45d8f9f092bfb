#include <algorithm>
#include <array>

#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"

namespace gantry::runtime {

namespace {

/// Below this the runtime's own first process does not get as far as its exec.
constexpr int64_t least_memory = 6ll << 20;
/// The kernel's bounds for the quota scheduler (sched/core.c).
constexpr int64_t least_quota_us = 1000;
constexpr uint64_t least_period_us = 1000;
constexpr uint64_t most_period_us = 1'000'000;
constexpr uint64_t default_period_us = 100'000;

/// In the kernel's order: each stands at its number.
constexpr std::array<std::string_view, 41> capabilities{
  "CHOWN",        "DAC_OVERRIDE",     "DAC_READ_SEARCH", "FOWNER",       "FSETID",
  "KILL",         "SETGID",           "SETUID",          "SETPCAP",      "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN",      "NET_RAW",      "IPC_LOCK",
  "IPC_OWNER",    "SYS_MODULE",       "SYS_RAWIO",       "SYS_CHROOT",   "SYS_PTRACE",
  "SYS_PACCT",    "SYS_ADMIN",        "SYS_BOOT",        "SYS_NICE",     "SYS_RESOURCE",
  "SYS_TIME",     "SYS_TTY_CONFIG",   "MKNOD",           "LEASE",        "AUDIT_WRITE",
  "AUDIT_CONTROL", "SETFCAP",         "MAC_OVERRIDE",    "MAC_ADMIN",    "SYSLOG",
  "WAKE_ALARM",   "BLOCK_SUSPEND",    "AUDIT_READ",      "PERFMON",      "BPF",
  "CHECKPOINT_RESTORE"};

constexpr std::array<std::string_view, 16> rlimits{
  "AS",      "CORE",  "CPU",    "DATA",  "FSIZE", "LOCKS",  "MEMLOCK",    "MSGQUEUE",
  "NICE",    "NOFILE", "NPROC", "RSS",   "RTPRIO", "RTTIME", "SIGPENDING", "STACK"};

result<void> check_memory(const v1::Resources& r) {
  auto number = [](int64_t x) { return std::to_string(x); };
  int64_t memory = r.memory_bytes();
  if (memory < -1 || (memory > 0 && memory < least_memory))
    return bad("memory_bytes", number(memory),
               "use at least 6291456 (6 MiB), or -1 for no limit");
  int64_t swap = r.memory_swap_bytes();
  if (swap < -1)
    return bad("memory_swap_bytes", number(swap), "use a size in bytes, or -1 for no limit");
  if (swap > 0 && memory > 0 && swap < memory)
    return bad("memory_swap_bytes", number(swap),
               "it is memory and swap together: not below memory_bytes " + number(memory));
  if (swap > 0 && memory == -1)
    return bad("memory_swap_bytes", number(swap), "memory_bytes has no limit: limit it too");
  int64_t low = r.memory_reservation_bytes();
  if (low < 0 || (memory > 0 && low > memory))
    return bad("memory_reservation_bytes", number(low), "use 0 up to memory_bytes");
  return {};
}

bool is_cpu_list(std::string_view text) {
  bool digit = false;
  for (char c : text) {
    bool number = c >= '0' && c <= '9';
    if (!number && (!digit || (c != '-' && c != ',')))
      return false;
    digit = number;
  }
  return text.empty() || digit;
}

result<void> check_cpu(const v1::Resources& r) {
  if (r.nano_cpus() != 0 && r.cpu_quota_us() != 0)
    return error{ec::invalid_argument,
                 "nano_cpus " + std::to_string(r.nano_cpus()) + " and cpu_quota_us "
                   + std::to_string(r.cpu_quota_us()) + " are both given",
                 "they are two ways to say one thing: give one"};
  if (r.nano_cpus() < 0 || (r.nano_cpus() > 0 && r.nano_cpus() < 10'000'000)
      || r.nano_cpus() > 1'000'000'000'000'000)
    return bad("nano_cpus", std::to_string(r.nano_cpus()),
               "use at least 10000000 (0.01 CPUs); 1.5 CPUs are 1500000000");
  if (r.cpu_quota_us() < -1 || (r.cpu_quota_us() > 0 && r.cpu_quota_us() < least_quota_us))
    return bad("cpu_quota_us", std::to_string(r.cpu_quota_us()),
               "use at least 1000, or -1 for no limit");
  uint64_t period = r.cpu_period_us();
  if (period != 0 && (period < least_period_us || period > most_period_us))
    return bad("cpu_period_us", std::to_string(period), "use 1000 to 1000000");
  if (r.nano_cpus() > 0) {
    auto quota = quota_of(r);
    if (quota < least_quota_us)
      return bad("cpu_period_us", std::to_string(period),
                 "with nano_cpus " + std::to_string(r.nano_cpus()) + " the quota is only "
                   + std::to_string(quota) + " us: use a longer period");
  }
  if (r.cpu_shares() != 0 && (r.cpu_shares() < 2 || r.cpu_shares() > 262144))
    return bad("cpu_shares", std::to_string(r.cpu_shares()), "use 2 to 262144; 1024 is usual");
  if (!is_cpu_list(r.cpuset_cpus()))
    return bad("cpuset_cpus", shown(r.cpuset_cpus()), "use a list such as 0-3,7");
  if (!is_cpu_list(r.cpuset_mems()))
    return bad("cpuset_mems", shown(r.cpuset_mems()), "use a list such as 0,1");
  return {};
}

result<void> check_io(const v1::Resources& r) {
  if (r.io_weight() != 0 && (r.io_weight() < 10 || r.io_weight() > 1000))
    return bad("io_weight", std::to_string(r.io_weight()), "use 10 to 1000");
  if (r.io_limits_size() > 64)
    return bad("io_limits", std::to_string(r.io_limits_size()) + " entries", "at most 64");
  for (int i = 0; i < r.io_limits_size(); ++i) {
    const auto& limit = r.io_limits(i);
    if (auto done = check_path("io_limits.path", limit.path()); !done)
      return done;
    if ((limit.read_bps() | limit.write_bps() | limit.read_iops() | limit.write_iops()) == 0)
      return bad("io_limits " + limit.path(), "no limit", "give at least one");
    for (int k = 0; k < i; ++k)
      if (r.io_limits(k).path() == limit.path())
        return bad("io_limits", limit.path() + " given twice", "say all of it in one entry");
  }
  return {};
}

result<void> check_unified(const v1::Resources& r) {
  for (const auto& [key, value] : r.unified()) {
    auto fine = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
             || c == '.' || c == '_' || c == '-';
    };
    bool file = key.find('.') != std::string::npos && key.front() != '.' && key.size() <= 255
                && std::all_of(key.begin(), key.end(), fine);
    if (!file || key.starts_with("cgroup."))
      return bad("unified", shown(key), "use the name of a controller's file: memory.high");
    if (value.size() > 4096 || !is_clean_text(value))
      return bad("unified." + key, shown(value), "use at most 4096 bytes of UTF-8");
  }
  return {};
}

} // namespace

int64_t quota_of(const v1::Resources& r) noexcept {
  if (r.nano_cpus() <= 0)
    return r.cpu_quota_us();
  auto period = r.cpu_period_us() != 0 ? r.cpu_period_us() : default_period_us;
  // Whole microseconds: 1000 nano CPUs are one microsecond in a second.
  return r.nano_cpus() / 1000 * int64_t(period) / 1'000'000;
}

uint64_t period_of(const v1::Resources& r) noexcept {
  return r.cpu_period_us() == 0 && r.nano_cpus() > 0 ? default_period_us : r.cpu_period_us();
}

std::string full_capability(std::string_view name) {
  std::string upper(name.substr(0, 64));
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c; });
  std::string_view bare = upper;
  if (bare.starts_with("CAP_"))
    bare.remove_prefix(4);
  bool known = std::find(capabilities.begin(), capabilities.end(), bare) != capabilities.end();
  return known ? "CAP_" + std::string(bare) : std::string();
}

std::vector<std::string> all_capabilities() {
  return capabilities_in(~0ull);
}

std::vector<std::string> capabilities_in(uint64_t mask) {
  std::vector<std::string> out;
  for (size_t i = 0; i < capabilities.size(); ++i)
    if ((mask >> i & 1) != 0)
      out.push_back("CAP_" + std::string(capabilities[i]));
  return out;
}

bool is_rlimit(std::string_view name) noexcept {
  if (!name.starts_with("RLIMIT_"))
    return false;
  name.remove_prefix(7);
  return std::find(rlimits.begin(), rlimits.end(), name) != rlimits.end();
}

result<void> check_resources(const v1::Resources& r) {
  if (auto done = check_memory(r); !done)
    return done;
  if (auto done = check_cpu(r); !done)
    return done;
  if (r.pids_limit() < -1)
    return bad("pids_limit", std::to_string(r.pids_limit()),
               "use a number above 0, or -1 for no limit");
  if (auto done = check_io(r); !done)
    return done;
  return check_unified(r);
}

} // namespace gantry::runtime
