#include "runtime/cgroup.hpp"
#include "runtime/cgroup_files.hpp"

namespace gantry::runtime {

namespace {

/// The kernel charges up to 64 pages at once: a full group may lack so much.
constexpr uint64_t charge_batch = 64 * 4096;

} // namespace

std::string_view oom_level(cgroup_mode mode, const oom_counters& before,
                           const oom_counters& now) noexcept {
  if (now.kills <= before.kills)
    return {};
  if (mode == cgroup_mode::v2)
    return now.limit_hits > before.limit_hits ? "container" : "host";
  // v1 counts kills of the victim's group and failures of the limit's, and nothing says
  // that the one belongs to the other.
  return now.has_limit && now.limit_hits > 0 ? "inferred" : "host";
}

oom_counters cgroup::oom(std::optional<uint64_t> known) const {
  oom_counters out;
  std::string text;
  auto at = dir("memory");
  if (at.empty())
    return out;
  if (host_.mode != cgroup_mode::v2) {
    if (kernel_.read_small(at + "/memory.oom_control", text) >= 0)
      out.kills = value_of(text, "oom_kill");
    if (known && out.kills <= *known)
      return out;
    // Memory and swap together are charged first: with both limits alike only memsw fails.
    for (const char* counter : {"/memory.", "/memory.memsw."}) {
      auto number = [this, &text, file = at + counter](const char* rest) {
        return kernel_.read_small(file + rest, text) >= 0 ? number_in(text) : 0;
      };
      auto limit = limit_or_none(number("limit_in_bytes"));
      if (limit == 0)
        continue;
      out.has_limit = true;
      // Kernel 6.18 leaves failcnt at 0 when a limit kills (seen); the peak tells as well.
      auto fails = number("failcnt");
      bool full = number("max_usage_in_bytes") + charge_batch >= limit;
      out.limit_hits += fails == 0 && full ? 1 : fails;
    }
    return out;
  }
  if (kernel_.read_small(at + "/memory.events", text) >= 0) {
    out.kills = value_of(text, "oom_kill");
    out.limit_hits = value_of(text, "oom");
  }
  if (known && out.kills <= *known)
    return out;
  if (kernel_.read_small(at + "/memory.max", text) >= 0)
    out.has_limit = number_in(text) != 0;
  for (size_t slash = path_.rfind('/'); slash != std::string::npos && slash > 0;
       slash = path_.rfind('/', slash - 1)) {
    auto file = host_.unified + path_.substr(0, slash) + "/memory.events.local";
    if (kernel_.read_small(file, text) < 0)
      continue;
    const auto hits = value_of(text, "oom");
    out.ancestor_kills += hits;
    if (hits > 0 && out.ancestor.empty())
      out.ancestor = path_.substr(0, slash);
  }
  return out;
}

} // namespace gantry::runtime
