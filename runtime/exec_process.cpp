#include <algorithm>
#include <cstdlib>

#include "runtime/accounts.hpp"
#include "runtime/bundle.hpp"
#include "runtime/check_words.hpp"
#include "runtime/config_parts.hpp"

namespace gantry::runtime {

using nlohmann::json;

json rlimits_over(json base, const google::protobuf::RepeatedPtrField<v1::Rlimit>& over) {
  if (!base.is_array())
    base = json::array();
  for (const auto& limit : over) {
    json mine{{"type", limit.type()}, {"soft", limit.soft()}, {"hard", limit.hard()}};
    auto same = std::find_if(base.begin(), base.end(), [&limit](const json& x) {
      return x.is_object() && x.contains("type") && x["type"] == limit.type();
    });
    if (same != base.end())
      *same = std::move(mine);
    else
      base.push_back(std::move(mine));
  }
  return base;
}

uint64_t capability_bounds(io::kernel& k) {
  std::string text;
  constexpr std::string_view field = "CapBnd:";
  if (k.read_small("/proc/self/status", text) < 0)
    return ~0ull;
  const auto at = text.find(field);
  return at == std::string::npos ? ~0ull
                                 : std::strtoull(text.c_str() + at + field.size(), nullptr, 16);
}

result<json> exec_process(const json& config, const v1::ProcessSpec& spec, uint64_t bounds) {
  if (auto done = check_process(spec); !done)
    return std::move(done).why();
  if (auto done = check_config_process(config); !done)
    return std::move(done).why();
  json out = config["process"];
  out["terminal"] = spec.terminal();
  out.erase("consoleSize");
  out.erase("commandLine");
  out["args"] = strings(spec.args());
  merge_env(out["env"], spec.env());
  if (spec.terminal()) {
    set_console_size(out, spec.terminal_size());
    add_term(out["env"]);
  }
  if (!spec.workdir().empty())
    out["cwd"] = spec.workdir();
  if (!spec.user().empty()) {
    auto user = parse_user(spec.user());
    GANTRY_CHECK(user.ok()); // check_process has looked
    out["user"] = user_json(*user);
  }
  add_groups(out, {spec.groups().begin(), spec.groups().end()});
  if (spec.privileged()) {
    out["capabilities"] = capability_sets(json(capabilities_in(bounds)));
    out["noNewPrivileges"] = false;
    out.erase("apparmorProfile");
  } else if (!spec.capabilities().empty()) {
    json names = json::array();
    for (const auto& name : spec.capabilities())
      names.push_back(full_capability(name));
    out["capabilities"] = capability_sets(names);
  }
  if (!spec.rlimits().empty())
    out["rlimits"] = rlimits_over(std::move(out["rlimits"]), spec.rlimits());
  if (spec.has_no_new_privileges())
    out["noNewPrivileges"] = spec.no_new_privileges();
  if (!spec.apparmor_profile().empty())
    out["apparmorProfile"] = spec.apparmor_profile();
  return out;
}

} // namespace gantry::runtime
