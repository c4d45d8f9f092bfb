#include <algorithm>

#include "runtime/world_impl.hpp"

namespace gantry::runtime {

// What outlives a container for a while, and when it is forgotten.

void world::impl::remember_answer(const std::string& request_id, const journal::Answered& a) {
  if (request_id.empty() || answers.contains(request_id))
    return; // The first answer stays.
  auto kept = std::make_shared<const kept_answer>(kept_answer{request_id, a});
  answers.emplace(kept->request_id, kept);
  answer_order.push_back(std::move(kept));
  while (answer_order.size() > policy.max_requests) {
    answers.erase(answer_order.front()->request_id);
    answer_order.pop_front();
  }
}

void world::impl::keep_exit(const container_view& c, const process_view& p, int64_t now_ns) {
  finished.push_back(std::make_shared<const finished_exit>(
    finished_exit{c.name, c.instance, p.run, p.id, *p.exit, now_ns}));
  while (finished.size() > policy.max_finished_exits)
    finished.pop_front();
}

void world::impl::remove(const container_name& name, int64_t now_ns) {
  auto i = containers.find(name);
  if (i == containers.end())
    return;
  auto& c = *i->second;
  about_to_change(c);
  for (const auto& p : c.processes)
    if (p.exit)
      keep_exit(c, p, now_ns);
  if (auto known = labels.find(c.instance); known != labels.end())
    removed.push_back({c.instance, now_ns, known->second});
  containers.erase(i);
  prune(now_ns);
}

void world::impl::drop_process(container_view& c, const std::string& id) {
  auto i = std::find_if(c.processes.begin(), c.processes.end(),
                        [&id](const process_view& p) { return p.id == id; });
  if (i != c.processes.end())
    c.processes.erase(i);
}

void world::impl::remember_labels(uint64_t instance, const v1::ContainerSpec& spec) {
  if (!spec.labels().empty())
    labels[instance]
      = std::make_shared<const label_map>(spec.labels().begin(), spec.labels().end());
}

void world::impl::prune(int64_t now_ns) {
  auto old = [&](int64_t at) { return now_ns - at > policy.finished_age_ns; };
  while (!finished.empty() && old(finished.front()->removed_at_ns))
    finished.pop_front();
  while (!removed.empty()
         && (removed.size() > policy.max_finished_exits || old(removed.front().removed_at_ns))) {
    labels.erase(removed.front().instance);
    removed.pop_front();
  }
}

} // namespace gantry::runtime
