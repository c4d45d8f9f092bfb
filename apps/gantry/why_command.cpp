#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "apps/gantry/objects.hpp"
#include "apps/gantry/session.hpp"
#include "apps/gantry/show.hpp"
#include "apps/gantry/units.hpp"

// `gantry why ID`: the last thing that happened to a container, and what led to it.

namespace gantry::cli {

namespace {

/// All events that are kept of one container, the oldest first.
class event_list final : public client::call {
public:
  explicit event_list(v1::FollowRequest request)
    : call("/gantry.v1.Events/Follow"), request_(std::move(request)) {}

  [[nodiscard]] std::string request() const override { return request_.SerializeAsString(); }

  void message(std::string_view bytes) override {
    v1::FollowItem item;
    if (!item.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !item.has_event())
      return;
    request_.mutable_since()->set_epoch(item.event().epoch());
    request_.mutable_since()->set_seq(item.event().seq());
    if (item.event().type() != "gap")
      all_.push_back(item.event());
  }

  void done(result<void> how) override { end_ = std::move(how); }

  [[nodiscard]] const std::optional<result<void>>& end() const noexcept { return end_; }
  [[nodiscard]] const std::vector<v1::Event>& all() const noexcept { return all_; }

private:
  v1::FollowRequest request_;
  std::vector<v1::Event> all_;
  std::optional<result<void>> end_;
};

std::string detail(const v1::Event& e, const char* key) {
  const auto at = e.details().find(key);
  return at == e.details().end() ? std::string{} : at->second;
}

/// What a person asks about: how it came to be where it is. That it works again needs no cause.
bool explains_state(const v1::Event& e) {
  constexpr std::array types{"start",  "exit",         "dead",         "restart-scheduled",
                             "health-action", "waiting",
                             "health", "create",       "start-failed", "restart-cancelled",
                             "paused", "create-failed", "delete",      "oom",
                             "pressure"};
  return (e.process().empty() || e.process() == "init")
         && std::find(types.begin(), types.end(), e.type()) != types.end()
         && (e.type() != "health" || detail(e, "new") == "unhealthy");
}

std::string health_words(const v1::Event& e) {
  std::string out = detail(e, "new");
  const auto failures = detail(e, "failures");
  if (detail(e, "role") == "notify") // Its own word, or that it said none.
    return out + ": " + detail(e, "output");
  if (out == "unhealthy")
    out += ": the probe failed" + (failures == "1" ? "" : " " + failures + " times");
  if (!detail(e, "exit_code").empty())
    out += ", exit code " + detail(e, "exit_code");
  auto text = detail(e, "output").substr(0, 200);
  while (text.ends_with('\n'))
    text.pop_back();
  return text.empty() ? out : out + ", last output \"" + text + "\"";
}

std::string restart_words(const v1::Event& e) {
  const auto number = [&e](const char* key) -> uint64_t {
    return std::strtoull(detail(e, key).c_str(), nullptr, 10);
  };
  std::string out = "restart scheduled in " + short_duration(number("delay_ns")) + " (attempt "
                    + detail(e, "attempt");
  if (number("of") > 0)
    out += " of " + detail(e, "of");
  return out + "): " + detail(e, "reason");
}

std::string action_words(const v1::Event& e) {
  std::string out = "unhealthy, so: " + detail(e, "action");
  if (detail(e, "steps") != "1")
    out += ", step " + detail(e, "step") + " of " + detail(e, "steps");
  if (detail(e, "of") != "1")
    out += ", attempt " + detail(e, "attempt") + " of " + detail(e, "of");
  return out;
}

std::string evidence_words(const v1::Event& e) {
  return "evidence kept (" + detail(e, "bytes") + " bytes): gantry health evidence "
         + e.container() + " " + detail(e, "number");
}

std::string victim_words(const std::string& victim) {
  return victim == "init"    ? "its init was killed"
         : victim == "other" ? "another process than init was killed"
                             : "who was killed is not known";
}

std::string exit_words(const v1::Exit& x) {
  const auto out = "ended: " + end_text(x);
  return x.oom_victim().empty()
           ? out : out + "; it had been out of memory: " + victim_words(x.oom_victim());
}

std::string oom_words(const v1::Event& e) {
  const auto bytes = [&e](const char* key) {
    return size_text(std::strtoull(detail(e, key).c_str(), nullptr, 10));
  };
  std::string out =
    "was out of memory, " + victim_words(detail(e, "victim")) + ": level " + detail(e, "level");
  if (!detail(e, "cgroup").empty())
    out += ", the limit of " + detail(e, "cgroup");
  if (!detail(e, "limit_bytes").empty())
    out += ", limit " + bytes("limit_bytes");
  return detail(e, "peak_bytes").empty() ? out : out + ", peak " + bytes("peak_bytes");
}

/// An event as a sentence without a subject.
std::string words_of(const v1::Event& e) {
  const auto& type = e.type();
  std::string out = type;
  if (type == "exit")
    out = exit_words(e.exit());
  else if (type == "kill")
    out = "was sent " + detail(e, "signal")
          + (detail(e, "reason").empty() ? "" : ", reason " + detail(e, "reason"));
  else if (type == "health")
    out = health_words(e);
  else if (type == "ready")
    out = "said that it is ready"
          + (detail(e, "status").empty() ? "" : ": \"" + detail(e, "status") + "\"");
  else if (type == "notify")
    out = detail(e, "what") == "overdue"
            ? std::string{"had said STOPPING=1, and did not end within the time of a stop"}
            : "said at its notify socket: " + detail(e, "what");
  else if (type == "health-action")
    out = action_words(e);
  else if (type == "evidence")
    out = evidence_words(e);
  else if (type == "oom")
    out = oom_words(e);
  else if (type == "pressure")
    out = "lacked something: " + detail(e, "threshold") + " was crossed";
  else if (type == "restart-scheduled")
    out = restart_words(e);
  else if (type == "waiting")
    out = "its start waits for " + e.message();
  else if (type == "dead")
    out = "was given up: " + detail(e, "reason");
  else if (type == "start")
    out = "was started, run " + std::to_string(e.run());
  else if (type == "create")
    out = "was made, run " + std::to_string(e.run());
  else if (!e.message().empty())
    out += ": " + e.message();
  if (e.has_by())
    out += " (by uid " + std::to_string(e.by().uid()) + ", pid "
           + std::to_string(e.by().pid()) + ")";
  return printable(out);
}

/// Runs in a row that are told of.
constexpr size_t most_runs = 20;

/// The events by their numbers, and what began each run.
class history {
public:
  explicit history(const std::vector<v1::Event>& all) {
    for (const auto& e : all) {
      by_seq_[e.seq()] = &e;
      if (e.type() == "start" && (e.process().empty() || e.process() == "init"))
        starts_[{e.instance(), e.run()}] = &e;
    }
  }

  [[nodiscard]] const v1::Event* cause_of(const v1::Event& e) const {
    const auto at = by_seq_.find(e.cause());
    return at != by_seq_.end() && at->first < e.seq() ? at->second : nullptr;
  }

  /// The start of this run, where the restart policy made it: a further attempt.
  [[nodiscard]] const v1::Event* attempt_of(const v1::Event& e) const {
    if (e.type() == "start" || e.type() == "create")
      return nullptr;
    const auto at = starts_.find({e.instance(), e.run()});
    if (at == starts_.end() || at->second->seq() >= e.seq())
      return nullptr;
    const auto* made = cause_of(*at->second);
    if (made != nullptr && made->type() == "waiting")
      made = cause_of(*made);
    const auto* scheduled = made != nullptr ? cause_of(*made) : nullptr;
    return scheduled != nullptr && scheduled->type() == "restart-scheduled" ? at->second : nullptr;
  }

private:
  std::map<uint64_t, const v1::Event*> by_seq_;
  std::map<std::pair<uint64_t, uint32_t>, const v1::Event*> starts_;
};

/// The chain of causes that ends in the last event of the newest instance, through all attempts
/// of its restart policy that were made in a row. @param more Set where earlier ones are left out.
std::vector<const v1::Event*> chain_of(const std::vector<v1::Event>& all, bool& more) {
  const history known(all);
  const v1::Event* at = nullptr;
  const v1::Event* health = nullptr; // Of it, where that came later.
  for (const auto& e : all)
    if (explains_state(e)) {
      at = &e;
      health = nullptr;
    } else if (e.type() == "health") {
      health = &e;
    }
  std::vector<const v1::Event*> out;
  if (health != nullptr)
    out.push_back(health);
  bool first = false; // The attempt that began the row.
  size_t unmade = 0;  // Attempts that came to no run.
  for (size_t runs = 1; at != nullptr;) {
    out.push_back(at);
    more = at->type() == "start-failed" && unmade++ == most_runs;
    if (more)
      break;
    first = first || (at->type() == "restart-scheduled" && detail(*at, "attempt") == "1");
    const auto* next = known.cause_of(*at);
    if (next == nullptr && !first) {
      next = known.attempt_of(*at);
      more = next != nullptr && runs++ == most_runs;
      if (more)
        break;
    }
    at = next;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

} // namespace

int why_command(session& s) {
  const auto& id = s.opt.ids.front();
  v1::FollowRequest r;
  r.mutable_since();
  r.mutable_filter()->set_namespace_(s.opt.ns);
  r.mutable_filter()->add_containers(id);
  event_list events(std::move(r));
  s.way.start(events);
  while (!events.end())
    s.way.step({}, -1);
  if (!*events.end())
    return failed(events.end()->why());
  bool more = false;
  const auto chain = chain_of(events.all(), more);
  if (chain.empty())
    return failed({ec::not_found, "nothing is known of a container \"" + printable(id) + "\"",
                   "gantry ps -a lists them; the journal keeps what happened for a while"});
  std::string out;
  if (more && !s.opt.json)
    out = "(earlier attempts are left out: gantry events --since 0 --filter container="
          + printable(id) + ")\n";
  for (const auto* e : chain)
    out += s.opt.json ? to_json(*e) + "\n" : time_text(e->time_ns()) + "  " + words_of(*e) + "\n";
  print(out);
  return 0;
}

} // namespace gantry::cli
