#include <algorithm>
#include <array>
#include <charconv>
#include <sys/utsname.h>

#include "runtime/check_words.hpp"
#include "runtime/config_parts.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/seccomp.hpp"

// Profiles of clients. Two forms are about: linux.seccomp of the OCI, and Docker's, whose rules
// may be bound to an architecture, a kernel version or a capability of the container.

namespace gantry::runtime {

namespace {

using nlohmann::json;

constexpr auto actions = std::to_array<std::string_view>({
  "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"});
constexpr auto operators = std::to_array<std::string_view>({
  "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ"});
constexpr std::string_view notify = "SCMP_ACT_NOTIFY";

#if defined(__x86_64__)
constexpr std::string_view own_arch = "amd64";
constexpr std::string_view own_scmp = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
constexpr std::string_view own_arch = "arm64";
constexpr std::string_view own_scmp = "SCMP_ARCH_AARCH64";
#else
#error "this architecture has no seccomp name here yet"
#endif

error wrong(const std::string& place, const std::string& what, std::string cure) {
  return {ec::invalid_argument, "security.seccomp: " + place + ": " + what, std::move(cure)};
}

bool is_one_of(const json& x, const auto& list) {
  return x.is_string()
         && std::find(list.begin(), list.end(), x.get_ref<const std::string&>()) != list.end();
}

/// `4.8` as 4008.
int version_number(std::string_view text) {
  int major = 0;
  int minor = 0;
  const char* end = text.data() + text.size();
  auto [stop, fault] = std::from_chars(text.data(), end, major);
  if (fault == std::errc() && stop != end && *stop == '.')
    std::from_chars(stop + 1, end, minor);
  return major * 1000 + minor;
}

int running_version() {
  utsname names{};
  return ::uname(&names) == 0 ? version_number(names.release) : 0;
}

bool contains(const json& list, std::string_view word) {
  return list.is_array() && std::any_of(list.begin(), list.end(), [word](const json& x) {
           return x.is_string() && x.get_ref<const std::string&>() == word;
         });
}

/// One side of a rule's conditions. `any`: one that is met is enough (excludes), otherwise
/// each that is given must be met (includes).
bool conditions_met(const json& rule, const char* side, const json& capabilities, bool any) {
  const auto at = rule.find(side);
  if (at == rule.end() || !at->is_object() || at->empty())
    return !any;
  bool all = true;
  bool one = false;
  const auto count = [&all, &one](bool met) { all = all && met, one = one || met; };
  if (const auto arches = at->find("arches"); arches != at->end() && !arches->empty())
    count(contains(*arches, own_arch));
  if (const auto caps = at->find("caps"); caps != at->end() && caps->is_array())
    for (const auto& cap : *caps)
      count(cap.is_string() && contains(capabilities, cap.get_ref<const std::string&>()));
  if (const auto least = at->find("minKernel"); least != at->end() && least->is_string())
    count(running_version() >= version_number(least->get_ref<const std::string&>()));
  return any ? one : all;
}

result<void> check_args(const json& args, const std::string& place) {
  for (const auto& arg : args) {
    const bool fine = arg.is_object() && arg.contains("index")
                      && arg["index"].is_number_unsigned() && arg["index"].get<uint64_t>() < 6
                      && arg.contains("value") && arg["value"].is_number_unsigned()
                      && (!arg.contains("valueTwo") || arg["valueTwo"].is_number_unsigned())
                      && arg.contains("op") && is_one_of(arg["op"], operators);
    if (!fine)
      return wrong(place + ".args", shown(arg.dump().substr(0, 80)) + " is no comparison",
                   "write index (0 to 5), value and op (SCMP_CMP_EQ …)");
  }
  return {};
}

/// A rule with what the OCI knows of it.
result<json> rule_of(const json& from, const std::string& place) {
  if (!from.is_object())
    return wrong(place, "is not an object", "write names and action");
  json names = json::array();
  if (const auto list = from.find("names"); list != from.end() && list->is_array())
    names = *list;
  else if (const auto one = from.find("name"); one != from.end())
    names.push_back(*one); // An old form of Docker's.
  const bool strings_only = std::all_of(names.begin(), names.end(),
                                        [](const json& x) { return x.is_string(); });
  if (names.empty() || !strings_only)
    return wrong(place + ".names", "is no list of system calls", "such as [\"openat\"]");
  if (!from.contains("action") || !is_one_of(from["action"], actions))
    return wrong(place + ".action", "is unknown", "such as SCMP_ACT_ALLOW or SCMP_ACT_ERRNO");
  json out{{"names", std::move(names)}, {"action", from["action"]}};
  if (const auto args = from.find("args"); args != from.end() && args->is_array()
                                           && !args->empty()) {
    if (auto done = check_args(*args, place); !done)
      return std::move(done).why();
    out["args"] = *args;
  }
  if (const auto number = from.find("errnoRet"); number != from.end() && !number->is_null()) {
    if (!number->is_number_unsigned())
      return wrong(place + ".errnoRet", "is not a number", "an errno, such as 1 (EPERM)");
    out["errnoRet"] = *number;
  }
  return out;
}

/// Docker's map has more than one machine in it; ours with what belongs to it.
json architectures_of(const json& profile) {
  if (const auto map = profile.find("archMap"); map != profile.end() && map->is_array())
    for (const auto& row : *map)
      if (row.is_object() && row.value("architecture", json()) == own_scmp) {
        json out = json::array({own_scmp});
        for (const auto& sub : row.value("subArchitectures", json::array()))
          out.push_back(sub);
        return out;
      }
  const auto list = profile.find("architectures");
  return list != profile.end() && list->is_array() && !list->empty() ? *list
                                                                     : json::array({own_scmp});
}

result<json> rules_of(const json& profile, const json* capabilities) {
  json out = json::array();
  const auto rules = profile.find("syscalls");
  if (rules == profile.end() || rules->is_null())
    return out;
  if (!rules->is_array())
    return wrong("syscalls", "is not an array", "a list of rules with names and action");
  for (size_t i = 0; i < rules->size(); ++i) {
    const auto& from = (*rules)[i];
    auto rule = rule_of(from, "syscalls[" + std::to_string(i) + "]");
    if (!rule)
      return rule;
    const json none = json::array();
    const json& caps = capabilities ? *capabilities : none;
    if (conditions_met(from, "includes", caps, false) && !conditions_met(from, "excludes", caps,
                                                                         true))
      out.push_back(*std::move(rule));
  }
  return out;
}

} // namespace

result<json> seccomp_of(const std::string& text, const std::string& agent,
                        const json* capabilities) {
  if (!is_clean_text(text))
    return wrong("the profile", "is not UTF-8", "give a profile in JSON, or unconfined");
  auto profile = parse_json(text, "security.seccomp");
  if (!profile)
    return std::move(profile).why();
  if (!profile->is_object() || !profile->contains("defaultAction")
      || !is_one_of((*profile)["defaultAction"], actions))
    return wrong("defaultAction", "is missing or unknown",
                 "a profile says what happens to a call that no rule names: SCMP_ACT_ERRNO");
  auto rules = rules_of(*profile, capabilities);
  if (!rules)
    return rules;
  json out{{"defaultAction", (*profile)["defaultAction"]},
           {"architectures", architectures_of(*profile)}};
  if (const auto number = profile->find("defaultErrnoRet");
      number != profile->end() && number->is_number_unsigned())
    out["defaultErrnoRet"] = *number;
  if (const auto flags = profile->find("flags"); flags != profile->end() && flags->is_array())
    out["flags"] = *flags;
  const bool asks = std::any_of(rules->begin(), rules->end(),
                                [](const json& r) { return r["action"] == notify; });
  std::string listener = agent;
  if (const auto path = profile->find("listenerPath");
      listener.empty() && path != profile->end() && path->is_string())
    listener = path->get<std::string>();
  if (out["defaultAction"] == notify)
    return wrong("defaultAction", "SCMP_ACT_NOTIFY cannot be the default",
                 "name the calls that the agent is asked about in a rule");
  if (asks && listener.empty())
    return wrong("SCMP_ACT_NOTIFY", "there is no agent to ask", "name its socket: seccomp_agent");
  if (!asks && !agent.empty())
    return wrong("seccomp_agent", "no rule has SCMP_ACT_NOTIFY", "leave the agent out");
  if (!listener.empty() && asks)
    out["listenerPath"] = listener;
  out["syscalls"] = *std::move(rules);
  return out;
}

} // namespace gantry::runtime
