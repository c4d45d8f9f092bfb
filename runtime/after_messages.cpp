#include "runtime/after_messages.hpp"

#include "runtime/policy_messages.hpp"
#include "runtime/world_impl.hpp"

namespace gantry::runtime {

namespace {

using what = after_verdict::what;
using stage = dependency::stage;

v1::ContainerSpec spec_of(const container_view& c) {
  v1::ContainerSpec out;
  out.ParseFromString(c.spec);
  return out;
}

std::string end_words(const v1::Exit& x) {
  run_end end;
  if (x.has_exit_code())
    end.exit_code = x.exit_code();
  end.signal = x.signal();
  end.oom = x.oom();
  return "has ended (" + words_of(end) + ")";
}

/// One that is not up, and not on its way down.
void fill_down(const container_view& c, int64_t now_ns, dependency& out) {
  const auto* p = c.init();
  out.where = stage::coming;
  switch (c.state) {
    case v1::CREATING: out.words = "is being made"; return;
    case v1::CREATED: out.words = "has not been started"; return;
    case v1::STARTING: out.words = "is starting"; return;
    case v1::WAITING: out.words = "waits for others itself"; return;
    default: break;
  }
  out.words = p != nullptr && p->exit ? end_words(*p->exit) : "did not start";
  if (awaits_restart(c, now_ns)) {
    out.words += " and is to be started again";
    return;
  }
  out.where = stage::over;
  if (c.state == v1::DEAD)
    out.words += ", was given up";
}

/// One that is not there any more may have ended well a moment ago.
dependency of_removed(const world& w, const container_name& name) {
  dependency out;
  out.words = "does not exist";
  if (const auto x = w.exit_of(name, 0, std::string{init_id}); x && x->exit.has_exit_code()) {
    out.exit_code = x->exit.exit_code();
    out.ended_ns = x->exit.exited_at_ns();
  }
  return out;
}

error bad_dependency(const container_name& name, const after_condition& c,
                     const dependency& d, const std::string& why) {
  const auto& id = c.id;
  error out{ec::wrong_state,
            "container \"" + name.id + "\" is to come after " + text_of(c) + ", but " + why, {}};
  if (d.where == stage::missing) {
    out.code = ec::not_found;
    out.cure = "create " + id + " first; gantry ps -a lists what there is";
  } else if (c.when == after_when::healthy || c.when == after_when::ready) {
    out.cure = d.where == stage::over ? "start it (gantry start " + id + ")"
                                      : "give it one (gantry update --health-cmd … " + id
                                          + "), or ask for " + id + ":started";
  } else {
    out.cure = "start it (gantry start " + id + "), or remove the condition";
  }
  return out;
}

result<void> check_circle(const world& w, const container_name& name, const after_policy& policy) {
  const auto circle =
    find_circle(name.id, policy.conditions, [&w, &name](const std::string& id) {
      std::vector<std::string> out;
      const auto* c = w.find({name.ns, id});
      if (c == nullptr || !c->has_after)
        return out;
      const auto spec = spec_of(*c);
      for (const auto& after : spec.after())
        out.push_back(after.id());
      return out;
    });
  if (circle.empty())
    return {};
  std::string path;
  for (const auto& id : circle)
    path += (path.empty() ? "" : " after ") + id;
  return error{ec::invalid_argument,
               "container \"" + name.id + "\" would come after itself: " + path,
               "leave one of these conditions out"};
}

} // namespace

result<after_policy> after_policy_of(const v1::ContainerSpec& spec) {
  after_policy out;
  for (const auto& said : spec.after()) {
    auto when = parse_after_when(said.condition());
    if (!when)
      return when.why();
    out.conditions.push_back({said.id(), *when});
  }
  out.timeout_ns = spec.after_timeout_ns();
  if (auto fine = check_after(out); !fine)
    return fine.why();
  return out;
}

dependency dependency_of(const world& w, const container_name& name, int64_t now_ns,
                         const is_alive_fn& alive) {
  const auto* c = w.find(name);
  if (c == nullptr)
    return of_removed(w, name);
  dependency out;
  const auto* p = c->init();
  out.started_ns = c->started_at_ns;
  if (p != nullptr && p->exit) {
    out.ended_ns = p->exit->exited_at_ns();
    if (p->exit->has_exit_code())
      out.exit_code = p->exit->exit_code();
  }
  out.health = health_of(*c);
  if (c->has_health)
    out.healthy = out.health == "healthy";
  if (tells_readiness(*c))
    out.ready = is_ready(*c);
  switch (c->state) {
    case v1::RUNNING:
    case v1::PAUSING:
    case v1::PAUSED:
    case v1::CHECKPOINTING: {
      const bool lives = p != nullptr && p->phase == process_view::phase_t::running
                         && (!alive || alive(p->pid, p->start_ticks));
      out.where = lives ? stage::up : stage::ending;
      out.words = lives ? "runs" : "is ending";
      break;
    }
    case v1::STOPPING:
      out.where = stage::ending;
      out.words = "is being stopped";
      break;
    case v1::DELETING:
      out.words = "is being removed";
      break;
    default:
      fill_down(*c, now_ns, out);
  }
  return out;
}

after_outlook look_ahead(const world& w, const container_name& name, const after_policy& policy,
                         int64_t since_ns, int64_t now_ns, const is_alive_fn& alive) {
  after_outlook out;
  for (const auto& c : policy.conditions) {
    const auto v = judge_after(c, dependency_of(w, {name.ns, c.id}, now_ns, alive), since_ns);
    if (v.is == what::met)
      continue;
    v1::Unmet unmet;
    unmet.set_condition(text_of(c));
    unmet.set_why(v.why);
    const bool first = v.is == what::never && out.is != what::never;
    out.unmet.insert(first ? out.unmet.begin() : out.unmet.end(), std::move(unmet));
    out.is = first || out.is == what::never ? what::never : what::waits;
  }
  return out;
}

error never_starts(const container_name& name, const after_outlook& x) {
  const auto& first = x.unmet.front();
  return {ec::wrong_state,
          "container \"" + name.id + "\" is not started: it comes after " + first.condition()
            + ", but " + first.why(),
          "see to that one (gantry why " + first.condition().substr(0, first.condition().find(':'))
            + "), then: gantry start " + name.id};
}

error waited_too_long(const container_name& name, const after_outlook& x, int64_t timeout_ns) {
  std::string unmet;
  for (const auto& u : x.unmet)
    unmet += (unmet.empty() ? "" : "; ") + u.condition() + ": " + u.why();
  return {ec::deadline_exceeded,
          "container \"" + name.id + "\" is not started: after "
            + std::to_string(timeout_ns / 1'000'000) + " ms there is still unmet: " + unmet,
          "see to that one, or give it more time (--after-timeout)"};
}

result<void> check_dependencies(const world& w, const container_name& name,
                                const v1::ContainerSpec& spec, bool start, bool can_wait,
                                int64_t now_ns) {
  if (spec.after().empty())
    return {};
  auto policy = after_policy_of(spec);
  if (!policy)
    return policy.why();
  if (auto fine = check_circle(w, name, *policy); !fine)
    return fine;
  for (const auto& c : policy->conditions) {
    const auto d = dependency_of(w, {name.ns, c.id}, now_ns);
    const auto v = judge_after(c, d, now_ns);
    const bool unasked = (c.when == after_when::healthy && !d.healthy)
                         || (c.when == after_when::ready && !d.ready);
    if (v.is == what::waits && start && !can_wait)
      return bad_dependency(name, c, d, v.why + ", and what goes on from a checkpoint cannot wait");
    if (v.is == what::never && (start || d.where == stage::missing || unasked))
      return bad_dependency(name, c, d, v.why);
  }
  return {};
}

void fill_waiting(const world& w, const container_view& c, v1::Container& out) {
  if (c.state != v1::WAITING)
    return;
  auto* x = out.mutable_waiting();
  x->set_since_ns(c.intent_at_ns);
  const auto policy = after_policy_of(spec_of(c));
  if (!policy) // A later version's.
    return;
  for (auto& u : look_ahead(w, c.name, *policy, c.intent_at_ns, c.intent_at_ns).unmet)
    *x->add_unmet() = std::move(u);
  if (policy->timeout_ns > 0)
    x->set_until_ns(c.intent_at_ns + policy->timeout_ns);
}

} // namespace gantry::runtime
