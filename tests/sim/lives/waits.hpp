#pragma once

// Containers that come after others.

#include "tests/sim/lives/scenario.hpp"

namespace gantry::sim {

using namespace std::chrono_literals;

inline v1::CreateRequest probed(const std::string& id, const std::string& result) {
  auto r = create(id, {"work", "term=0"}, true);
  auto* p = r.mutable_spec()->mutable_health()->add_probes();
  for (const char* word : {"work", "after=5ms", result.c_str()})
    p->add_args(word);
  p->set_interval_ns(ns_of(1s));
  p->set_failures(1);
  return r;
}

inline v1::CreateRequest after(const std::string& id, const std::string& other,
                               const char* condition,
                               const std::vector<std::string>& args = {"work", "term=0"}) {
  auto r = create(id, args, true);
  r.set_request_id("start-" + id);
  auto* x = r.mutable_spec()->add_after();
  x->set_id(other);
  x->set_condition(condition);
  return r;
}

inline v1::State state_of(world& w, const std::string& id) {
  const auto* c = w.shared().ledger.now().find({"default", id});
  return c == nullptr ? v1::STATE_UNSPECIFIED : c->state;
}

inline void wait_state(world& w, const std::string& id, v1::State wanted,
                       nanoseconds limit = 5min) {
  INFO(id << " is " << v1::State_Name(state_of(w, id)) << ", wanted " << v1::State_Name(wanted));
  REQUIRE(w.until([&] { return state_of(w, id) == wanted; }, limit));
}

/// The seqs of the events of a type, of one container.
inline std::vector<uint64_t> seqs(world& w, const std::string& type, const std::string& id) {
  std::vector<uint64_t> out;
  for (const auto& e : w.events())
    if (e.type() == type && e.container() == id)
      out.push_back(e.seq());
  return out;
}

} // namespace gantry::sim
