#include <algorithm>

#include "runtime/world.hpp"

namespace gantry::runtime {

namespace {

template <class List>
bool holds(const List& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// Whether `have` (the event's own, or what the world knows) holds all that is wanted.
template <class Map>
bool has_all(const Map& have, const google::protobuf::Map<std::string, std::string>& wanted) {
  for (const auto& [key, value] : wanted) {
    auto i = have.find(key);
    if (i == have.end() || i->second != value)
      return false;
  }
  return true;
}

bool labels_match(const v1::EventFilter& f, const v1::Event& e, const world& w) {
  if (f.labels().empty() && f.label_keys().empty())
    return true;
  const auto matches = [&f](const auto& have) {
    return has_all(have, f.labels())
           && std::all_of(f.label_keys().begin(), f.label_keys().end(),
                          [&have](const auto& key) { return have.find(key) != have.end(); });
  };
  if (!e.labels().empty())
    return matches(e.labels());
  const auto* known = w.labels(e.instance());
  return known != nullptr && matches(*known);
}

} // namespace

bool wants_probe_runs(const v1::EventFilter& f) { return holds(f.types(), "probe"); }

bool passes(const v1::EventFilter& f, const v1::Event& e, const world& w) {
  if (e.type() == "gap")
    return true;
  if (!f.types().empty() && !holds(f.types(), e.type()))
    return false;
  if (e.container().empty())
    return f.containers().empty() && f.labels().empty() && f.label_keys().empty()
           && f.processes().empty();
  const std::string wanted = f.namespace_().empty() ? "default" : f.namespace_();
  if (wanted != "*" && e.namespace_() != wanted)
    return false;
  if (!f.containers().empty() && !holds(f.containers(), e.container()))
    return false;
  if (!f.processes().empty() && !holds(f.processes(), e.process()))
    return false;
  return labels_match(f, e, w);
}

bool passes(const v1::ListFilter& f, const v1::Container& c) {
  const auto has_part = [&c](const auto& part) { return c.id().find(part) != std::string::npos; };
  if (!f.ids().empty() && std::none_of(f.ids().begin(), f.ids().end(), has_part))
    return false;
  if (!f.states().empty()
      && std::find(f.states().begin(), f.states().end(), c.state()) == f.states().end())
    return false;
  if (!f.runtimes().empty() && !holds(f.runtimes(), c.runtime()))
    return false;
  if (!f.exit_codes().empty()) {
    const int code = !c.has_exit()               ? -1
                     : c.exit().has_exit_code() ? c.exit().exit_code()
                                                : 128 + c.exit().signal();
    if (std::find(f.exit_codes().begin(), f.exit_codes().end(), code) == f.exit_codes().end())
      return false;
  }
  return has_all(c.labels(), f.labels())
         && std::all_of(f.label_keys().begin(), f.label_keys().end(),
                        [&c](const auto& key) { return c.labels().contains(key); });
}

} // namespace gantry::runtime
