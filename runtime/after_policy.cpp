#include "runtime/after_policy.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "runtime/check_words.hpp"
#include "runtime/foreign_text.hpp"
#include "runtime/ids.hpp"

namespace gantry::runtime {

namespace {

constexpr std::array<std::string_view, 4> words{"started", "ready", "healthy", "exited_ok"};
constexpr int64_t longest_wait = 365 * 86'400'000'000'000;

using what = after_verdict::what;
using stage = dependency::stage;

std::string named(const after_condition& c, std::string_view words) {
  return "\"" + c.id + "\" " + std::string(words);
}

after_verdict waits(const after_condition& c, std::string_view words) {
  return {what::waits, named(c, words)};
}

after_verdict never(const after_condition& c, std::string_view words) {
  return {what::never, named(c, words)};
}

/// For a container that is not up.
after_verdict judge_down(const after_condition& c, const dependency& d) {
  if (d.where == stage::missing)
    return never(c, d.words);
  if (d.where == stage::over)
    return never(c, d.words + ", and nothing starts it again");
  return waits(c, d.words);
}

after_verdict judge_exit(const after_condition& c, const dependency& d, int64_t since_ns) {
  const bool ended_well = d.exit_code && *d.exit_code == 0 && d.ended_ns != 0;
  if (d.where == stage::missing)
    return ended_well && d.ended_ns >= since_ns ? after_verdict{} : never(c, d.words);
  if (d.where == stage::up)
    return waits(c, "runs");
  return ended_well ? after_verdict{} : judge_down(c, d);
}

} // namespace

after_verdict judge_after(const after_condition& c, const dependency& d, int64_t since_ns) {
  if (c.when == after_when::exited_ok)
    return judge_exit(c, d, since_ns);
  if (c.when == after_when::started) {
    const bool was_up = d.started_ns != 0 && d.started_ns >= since_ns;
    return d.where == stage::up || was_up ? after_verdict{} : judge_down(c, d);
  }
  const auto& asked = c.when == after_when::ready ? d.ready : d.healthy;
  if (d.where != stage::missing && !asked)
    return never(c, c.when == after_when::ready ? "has nothing that tells whether it is ready"
                                                : "has no health check");
  if (d.where != stage::up)
    return judge_down(c, d);
  if (*asked)
    return {};
  const auto health = d.health.empty() ? std::string{} : " (health: " + d.health + ")";
  return waits(c, (c.when == after_when::ready ? "is not ready yet" : "is not healthy yet")
                    + health);
}

result<after_when> parse_after_when(std::string_view word) {
  if (word.empty())
    return after_when::started;
  const auto at = std::find(words.begin(), words.end(), word);
  if (at == words.end())
    return bad("after.condition", shown(std::string(word)),
               "use started, ready, healthy or exited_ok");
  return after_when(at - words.begin());
}

result<after_condition> parse_after(std::string_view text) {
  const auto colon = text.find(':');
  const bool bare = colon == std::string_view::npos;
  auto when = parse_after_when(bare ? std::string_view{} : text.substr(colon + 1));
  if (!when)
    return when.why();
  if (!bare && colon + 1 == text.size())
    return bad("after", shown(std::string(text)), "name a condition behind the colon, or leave it");
  return after_condition{std::string(text.substr(0, colon)), *when};
}

std::string text_of(const after_condition& c) {
  return c.id + ":" + std::string(words[size_t(c.when)]);
}

result<void> check_after(const after_policy& policy) {
  const auto& all = policy.conditions;
  if (all.size() > max_after)
    return bad("after", std::to_string(all.size()) + " conditions",
               "use at most " + std::to_string(max_after));
  for (auto i = all.begin(); i != all.end(); ++i) {
    v1::Ref ref;
    ref.set_id(i->id);
    if (auto name = checked_name(ref); !name)
      return error{name.why().code, "after: " + name.why().message, name.why().cure};
    if (std::find(all.begin(), i, *i) != i)
      return bad("after", text_of(*i), "name each condition once");
  }
  if (policy.timeout_ns < 0 || policy.timeout_ns > longest_wait)
    return bad("after_timeout_ns", std::to_string(policy.timeout_ns),
               "use at most a year, or 0 for no limit");
  if (policy.timeout_ns > 0 && all.empty())
    return bad("after_timeout_ns", "a time without `after`", "say what it is to come after");
  return {};
}

std::vector<std::string>
find_circle(const std::string& id, const std::vector<after_condition>& conditions,
            const std::function<std::vector<std::string>(const std::string&)>& of) {
  std::map<std::string, std::string> reached_from; // Each is looked at once.
  std::vector<std::string> left;
  const auto reach = [&](const std::string& next, const std::string& from) {
    if (reached_from.emplace(next, from).second)
      left.push_back(next);
  };
  for (const auto& c : conditions)
    reach(c.id, id);
  while (!left.empty() && !reached_from.contains(id)) {
    const auto at = left.back();
    left.pop_back();
    for (const auto& next : of(at))
      reach(next, at);
  }
  if (!reached_from.contains(id))
    return {};
  std::vector<std::string> out{id};
  auto at = reached_from.at(id);
  for (; at != id; at = reached_from.at(at))
    out.push_back(at);
  out.push_back(id);
  std::reverse(out.begin(), out.end());
  return out;
}

} // namespace gantry::runtime
