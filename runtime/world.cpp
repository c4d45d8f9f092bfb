#include "runtime/world.hpp"

#include <algorithm>

#include "runtime/health_messages.hpp"
#include "runtime/world_impl.hpp"

namespace gantry::runtime {

namespace {

using phase = process_view::phase_t;

/// Where an exit of a removed container is looked for: by name, newest first.
const finished_exit* find_finished(const std::deque<std::shared_ptr<const finished_exit>>& in,
                                   const container_name& name, uint64_t instance,
                                   const std::string& process) {
  for (auto i = in.rbegin(); i != in.rend(); ++i) {
    const auto& x = **i;
    if (x.name == name && (instance == 0 || x.instance == instance) && x.process == process)
      return &x;
  }
  return nullptr;
}

/// Execs of `c` that ended, with their output, oldest exit first.
std::vector<const process_view*> finished_execs(const container_view& c) {
  std::vector<const process_view*> out;
  for (const auto& p : c.processes)
    if (p.phase == phase::exited && p.id != init_id && !p.io_open())
      out.push_back(&p);
  std::sort(out.begin(), out.end(), [](const process_view* a, const process_view* b) {
    auto at = [](const process_view* p) { return p->exit ? p->exit->seq() : 0; };
    return at(a) < at(b);
  });
  return out;
}

int64_t expiry_of(const process_view& p, const world_policy& policy) {
  if (!p.exit)
    return INT64_MAX;
  return p.exit->exited_at_ns() + (p.ttl_ns > 0 ? p.ttl_ns : policy.finished_age_ns);
}

} // namespace

bool is_alive(const process_view& p) noexcept {
  return p.phase == phase::created || p.phase == phase::running;
}

process_view* find_process(container_view& c, const std::string& id) noexcept {
  std::string_view wanted = id.empty() ? init_id : std::string_view(id);
  for (auto& p : c.processes)
    if (p.id == wanted)
      return &p;
  return nullptr;
}

bool container_view::starts_in_steps() const noexcept {
  const auto* p = init();
  return (p != nullptr && p->terminal) || (has_after && restore.empty());
}

const process_view* container_view::init() const noexcept { return process(init_id); }

const process_view* container_view::process(std::string_view id) const noexcept {
  for (const auto& p : processes)
    if (p.id == id)
      return &p;
  return nullptr;
}

world::world(world_policy policy) : impl_(std::make_shared<impl>()) { impl_->policy = policy; }

const container_view* world::find(const container_name& name) const noexcept {
  auto i = impl_->containers.find(name);
  return i == impl_->containers.end() ? nullptr : i->second.get();
}

const std::map<container_name, std::unique_ptr<container_view>>& world::all() const noexcept {
  return impl_->containers;
}

const journal::Answered* world::answer(const std::string& request_id) const noexcept {
  auto i = impl_->answers.find(request_id);
  return i == impl_->answers.end() ? nullptr : &i->second->answer;
}

// A walk instead of an index: a request with an id costs a runtime command anyway, and an
// index would be one more thing that has to agree with the records.
const container_view* world::pending(const std::string& request_id) const noexcept {
  if (request_id.empty() || impl_->answers.contains(request_id))
    return nullptr;
  for (const auto& [name, c] : impl_->containers) {
    if (c->intent_request == request_id)
      return c.get();
    for (const auto& p : c->processes)
      if (p.phase == phase::adding && p.request_id == request_id)
        return c.get();
  }
  return nullptr;
}

const std::map<std::string, std::string>* world::labels(uint64_t instance) const noexcept {
  auto i = impl_->labels.find(instance);
  return i == impl_->labels.end() ? nullptr : i->second.get();
}

size_t world::pending_count() const noexcept {
  return size_t(std::ranges::count_if(impl_->containers, [](const auto& entry) {
    return entry.second->intent_seq != 0;
  }));
}

size_t world::answer_count() const noexcept { return impl_->answers.size(); }

std::optional<world::found_exit> world::exit_of(const container_name& name, uint64_t instance,
                                                const std::string& process) const {
  std::string id = process.empty() ? std::string(init_id) : process;
  const auto* c = find(name);
  if (c != nullptr && (instance == 0 || instance == c->instance)) {
    const auto* p = c->process(id);
    if (p != nullptr && p->exit)
      return found_exit{*p->exit, c->instance, p->run};
    if (instance == 0)
      return std::nullopt; // The newest instance has not ended: an older one's exit is no answer.
  }
  const auto* f = find_finished(impl_->finished, name, instance, id);
  if (f == nullptr)
    return std::nullopt;
  return found_exit{f->exit, f->instance, f->run};
}

uint64_t world::take_serial() noexcept { return impl_->next_serial++; }

std::vector<world::forgettable> world::beyond_bounds(int64_t now_ns) const {
  std::vector<forgettable> out;
  for (const auto& [name, c] : impl_->containers) {
    auto execs = finished_execs(*c);
    size_t surplus = execs.size() - std::min(execs.size(), impl_->policy.max_finished_execs);
    for (size_t i = 0; i < execs.size(); ++i) {
      if (i < surplus || now_ns > expiry_of(*execs[i], impl_->policy))
        out.push_back({name, c->instance, execs[i]->id});
    }
  }
  return out;
}

std::optional<int64_t> world::next_expiry() const {
  std::optional<int64_t> out;
  for (const auto& [name, c] : impl_->containers)
    for (const auto* p : finished_execs(*c))
      out = std::min(out.value_or(INT64_MAX), expiry_of(*p, impl_->policy));
  return out;
}

v1::Container world::summary(const container_view& c) const {
  v1::Container out;
  out.set_namespace_(c.name.ns);
  out.set_id(c.name.id);
  out.set_instance(c.instance);
  out.set_run(c.run);
  out.set_state(c.state);
  for (const auto& word : c.command)
    out.add_command(word);
  if (const auto* known = labels(c.instance))
    out.mutable_labels()->insert(known->begin(), known->end());
  out.set_created_at_ns(c.created_at_ns);
  out.set_started_at_ns(c.started_at_ns);
  out.set_runtime(c.runtime);
  uint32_t execs = 0;
  for (const auto& p : c.processes) {
    if (p.id != init_id) {
      execs += is_alive(p) && !is_probe_process(p.id) ? 1 : 0;
      continue;
    }
    out.set_pid(is_alive(p) ? p.pid : 0);
    if (p.exit)
      *out.mutable_exit() = *p.exit;
  }
  out.set_execs(execs);
  fill_restart(c, out);
  fill_health(c, out);
  fill_waiting(*this, c, out);
  return out;
}

} // namespace gantry::runtime
