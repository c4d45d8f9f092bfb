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
  if (f.labels().empty())
    return true;
  if (!e.labels().empty())
    return has_all(e.labels(), f.labels());
  const auto* known = w.labels(e.instance());
  return known != nullptr && has_all(*known, f.labels());
}

} // namespace

bool passes(const v1::EventFilter& f, const v1::Event& e, const world& w) {
  if (e.type() == "gap")
    return true;
  if (!f.types().empty() && !holds(f.types(), e.type()))
    return false;
  if (e.container().empty())
    return f.containers().empty() && f.labels().empty();
  const std::string wanted = f.namespace_().empty() ? "default" : f.namespace_();
  if (wanted != "*" && e.namespace_() != wanted)
    return false;
  if (!f.containers().empty() && !holds(f.containers(), e.container()))
    return false;
  return labels_match(f, e, w);
}

} // namespace gantry::runtime
