#include "actors/container_table.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace gantry;
using namespace gantry::actors;

namespace {

constexpr auto phases = size_t(phase::count_);
constexpr auto events = size_t(event::count_);

/// Phases that can be reached from `from` by rules that go.
std::set<phase> reachable(phase from) {
  std::set<phase> seen{from};
  for (bool grown = true; grown;) {
    grown = false;
    for (auto p : std::set<phase>{seen})
      for (size_t e = 0; e < events; ++e)
        if (const auto& r = decide(p, event(e)); r.what == verdict::go)
          grown |= seen.insert(r.next).second;
  }
  return seen;
}

} // namespace

TEST_CASE("container table: each pair's rule is about that pair") {
  for (size_t p = 0; p < phases; ++p)
    for (size_t e = 0; e < events; ++e) {
      const auto& r = decide(phase(p), event(e));
      CHECK(r.from == phase(p));
      CHECK(r.on == event(e));
    }
}

TEST_CASE("container table: every phase can be reached, and every one can end") {
  CHECK(reachable(phase::creating).size() == phases);
  for (size_t p = 0; p < phases; ++p)
    CHECK(reachable(phase(p)).contains(phase::gone));
}

TEST_CASE("container table: what waits can stop waiting") {
  // A request that waits is asked again when the phase changes: from each phase that makes
  // it wait, some event must lead to another phase.
  for (size_t p = 0; p < phases; ++p)
    for (size_t e = 0; e < events; ++e)
      if (decide(phase(p), event(e)).what == verdict::later) {
        CAPTURE(name_of(phase(p)), name_of(event(e)));
        bool leaves = false;
        for (size_t f = 0; f < events; ++f) {
          const auto& r = decide(phase(p), event(f));
          leaves |= r.what == verdict::go && r.next != r.from;
        }
        CHECK(leaves);
      }
}

TEST_CASE("container table: the five pairs that others get wrong") {
  // Pause during exec is a wait of the container's actor; the pair itself goes.
  CHECK(decide(phase::running, event::pause).what == verdict::go);
  CHECK(decide(phase::paused, event::exec).what == verdict::refuse);
  // Stop while paused: thawed, then stopped.
  CHECK(decide(phase::paused, event::stop).next == phase::stopping);
  // Delete during create waits until there is something to delete.
  CHECK(decide(phase::creating, event::remove_force).what == verdict::later);
  // An exit between create and start is told after the start's own outcome.
  CHECK(decide(phase::created, event::unstarted).next == phase::stopped);
  CHECK(decide(phase::starting, event::unstarted).what == verdict::later);
  // Exec while init dies: refused once it is known.
  CHECK(decide(phase::stopped, event::exec).what == verdict::refuse);
}

TEST_CASE("container table: a policy never undoes a user's stop, and a removal is final") {
  CHECK(decide(phase::stopping, event::start).what == verdict::refuse);
  CHECK(decide(phase::deleting, event::start).what == verdict::refuse);
  for (size_t e = 0; e < events; ++e)
    CHECK(decide(phase::gone, event(e)).next == phase::gone);
}

TEST_CASE("container table: a person ends a wait for others, and no second start gets in its way") {
  CHECK(decide(phase::waiting, event::stop).next == phase::stopping);
  CHECK(decide(phase::waiting, event::remove).next == phase::deleting);
  CHECK(decide(phase::waiting, event::unstarted).next == phase::stopped);
  CHECK(decide(phase::waiting, event::start).what == verdict::refuse); // Not kept for later.
  CHECK(decide(phase::waiting, event::exec).what == verdict::refuse);
  for (size_t p = 0; p < phases; ++p)
    CHECK((decide(phase(p), event::may_start).what == verdict::go) == (phase(p) == phase::waiting));
}

TEST_CASE("container table: a recorded state comes back as its phase") {
  CHECK(phase_of(v1::RUNNING) == phase::running);
  CHECK(phase_of(v1::STOPPING) == phase::stopping);
  CHECK(phase_of(v1::WAITING) == phase::waiting);
  CHECK(phase_of(v1::DELETING) == phase::deleting);
  CHECK(phase_of(v1::UNKNOWN) == phase::stopped);
}
